import { describe, expect, it } from 'vitest';
import { load, refusalOf, service } from '../../../../test/config/config.fixture.js';

const misplaced = { components: 'pass it in the second argument of forRoot or forRootAsync' };

const mistake = (value: unknown, env?: Record<string, string>): Promise<string> =>
  refusalOf(load(value, env, { misplaced }));

describe('the text about', () => {
  it('a misspelt option', async () => {
    expect(await mistake({ service, resilience: { policies: { 'payments.charge': { timeoutMS: 800 } } } }))
      .toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        resilience.policies["payments.charge"].timeoutMS: is not an option; did you mean resilience.policies["payments.charge"].timeoutMs? (from module options)"
    `);
  });

  it('an option in the wrong section', async () => {
    expect(await mistake({ service, ttlMs: 5 })).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        ttlMs: is not an option; did you mean cache.ttlMs? (from module options)"
    `);
  });

  it('a number that is text', async () => {
    expect(await mistake({ service, resilience: { defaults: { timeoutMs: '3s' } } })).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        resilience.defaults.timeoutMs: must be a number, received "3s" (from module options)"
    `);
  });

  it('a number out of range', async () => {
    expect(await mistake({ service }, { MESH_RESILIENCE__DEFAULTS__TIMEOUT_MS: '0' })).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        resilience.defaults.timeoutMs: must be at least 1, received 0 (from environment MESH_RESILIENCE__DEFAULTS__TIMEOUT_MS)"
    `);
  });

  it('a required option that is missing', async () => {
    expect(await mistake({})).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        service: is required: an object with name"
    `);
  });

  it('a value that is not among the allowed ones', async () => {
    const value = {
      service,
      resilience: { policies: { a: { backoff: 'exponental' } } },
      broker: { transport: 'natz' },
    };
    expect(await mistake(value)).toMatchInlineSnapshot(`
      "The configuration is invalid (2 problems):
        resilience.policies.a.backoff: must be one of "constant", "linear", "exponential", received "exponental"; did you mean "exponential"? (from module options)
        broker.transport: must be "in-process" or "nats", received "natz"; did you mean "nats"? (from module options)"
    `);
  });

  it('an extra that belongs beside the factory', async () => {
    expect(await mistake({ service, components: { metrics: { useClass: class Metrics {} } } })).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        components: does not belong here: pass it in the second argument of forRoot or forRootAsync (from module options)"
    `);
  });

  it('an environment variable that leads nowhere', async () => {
    expect(
      await mistake({ service }, { MESH_RESILIENCE__DEFAULT__TIMEOUT_MS: '5', MESH_BROKER__SERVERS: '["nats://a"' }),
    ).toMatchInlineSnapshot(`
      "The configuration is invalid (2 problems):
        broker.servers: must be valid JSON, and ends too early, at line 1 column 12, received a text of 11 characters (from environment MESH_BROKER__SERVERS)
        MESH_RESILIENCE__DEFAULT__TIMEOUT_MS: leads to no option; did you mean MESH_RESILIENCE__DEFAULTS__TIMEOUT_MS? (from environment)"
    `);
  });

  it('an environment variable that holds a number where a section or a list is meant', async () => {
    const value = { service, broker: { transport: 'nats' }, resilience: { policies: { rates: {} } } };
    const env = { MESH_RESILIENCE__POLICIES__RATES: '800', MESH_RESILIENCE__POLICIES: '', MESH_BROKER__SERVERS: 'a' };
    expect(await mistake(value, env)).toMatchInlineSnapshot(`
      "The configuration is invalid (4 problems):
        broker.servers: must be a list, written as JSON: ["…", "…"], received a text of 1 characters (from environment MESH_BROKER__SERVERS)
        resilience.policies: must be an object, written as JSON (or set single options: MESH_RESILIENCE__POLICIES__RATES), received a text of 0 characters (from environment MESH_RESILIENCE__POLICIES)
        resilience.policies.rates: must be an object, written as JSON (or set single options: MESH_RESILIENCE__POLICIES__RATES__TIMEOUT_MS, MESH_RESILIENCE__POLICIES__RATES__TOTAL_TIMEOUT_MS, MESH_RESILIENCE__POLICIES__RATES__BACKOFF, …), received a text of 3 characters (from environment MESH_RESILIENCE__POLICIES__RATES)
        broker.servers: is required: a list"
    `);
  });

  it('a secret that is too short and a URL with credentials', async () => {
    const redis = { url: 'http://admin:hunter2@cache:6379', password: 'hunter2' };
    expect(await mistake({ service, cache: { redis } })).toMatchInlineSnapshot(`
      "The configuration is invalid (2 problems):
        cache.redis.url: must be a URL whose protocol matches ^rediss?$, received "http://***@cache:6379" (from module options)
        cache.redis.password: must be at least 8 characters long, received "***" (from module options)"
    `);
  });

  it('two options that contradict each other', async () => {
    const value = { service, resilience: { policies: { 'payments.charge': { timeoutMs: 900, totalTimeoutMs: 500 } } } };
    expect(await mistake(value)).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        resilience.policies["payments.charge"].timeoutMs: must not be more than totalTimeoutMs, received 900 (from module options)"
    `);
  });

  it('a value of a wholly different kind', async () => {
    const value = { service, cache: true, resilience: { policies: { a: { isFailure: 'always' } } } };
    expect(await mistake(value)).toMatchInlineSnapshot(`
      "The configuration is invalid (2 problems):
        resilience.policies.a.isFailure: is not valid; it means: A function of the error that says whether it counts as a failure, received "always" (from module options)
        cache: must be false or an object, received true (from module options)"
    `);
  });

  it('several mistakes from several sources at once', async () => {
    const value = { service: { nmae: 'orders' }, cache: { ttlMs: -1 } };
    expect(await mistake(value, { MESH_CACHE__TTL: '5', MESH_RESILIENCE__DEFAULTS__TIMEOUT_MS: 'soon' }))
      .toMatchInlineSnapshot(`
      "The configuration is invalid (5 problems):
        MESH_CACHE__TTL: leads to no option; did you mean MESH_CACHE__TTL_MS? (from environment)
        service.name: is required: text
        service.nmae: is not an option; did you mean service.name? (from module options)
        resilience.defaults.timeoutMs: must be a number, received "soon" (from environment MESH_RESILIENCE__DEFAULTS__TIMEOUT_MS)
        cache.ttlMs: must be at least 1, received -1 (from module options)"
    `);
  });

  it('a factory that returns nothing', async () => {
    expect(await mistake(undefined)).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        configuration: must be an object such as { service: { name: "orders" } }, received nothing; does the factory return its options? (from module options)"
    `);
  });

  it('a name that would reach a prototype', async () => {
    const value = { service, resilience: { policies: JSON.parse('{"__proto__":{"timeoutMs":1}}') as unknown } };
    expect(await mistake(value)).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        resilience.policies.__proto__: is a name that is not allowed (from module options)"
    `);
  });
});
