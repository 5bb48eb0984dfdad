import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../libs/mesh/src/config/config.loader.js';
import { meshSchema, misplacedOptions } from '../../../libs/mesh/src/mesh.options.js';

async function messageOf(options: object, env: Record<string, string> = {}): Promise<string> {
  const value = { service: { name: 'orders' }, ...options };
  return loadConfig({ schema: meshSchema, value, env, misplaced: misplacedOptions }).then(
    () => 'it was accepted',
    (error: Error) => error.message,
  );
}

const policy = (options: object) => ({ resilience: { policies: { 'payments.charge': options } } });

describe('what people get to read who', () => {
  it('misspell a section', async () => {
    expect(await messageOf({ resiliance: {} })).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        resiliance: is not an option; did you mean resilience? (from module options)"
    `);
  });

  it('misspell a transport', async () => {
    expect(await messageOf({ broker: { transport: 'natz' } })).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        broker.transport: must be one of "in-process", "nats", "rabbitmq", "nest", received "natz"; did you mean "nats"? (from module options)"
    `);
  });

  it('misspell an option of a policy', async () => {
    expect(await messageOf(policy({ timoutMs: 800 }))).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        resilience.policies["payments.charge"].timoutMs: is not an option; did you mean resilience.policies["payments.charge"].timeoutMs? (from module options)"
    `);
  });

  it('give a duration as text', async () => {
    expect(await messageOf(policy({ timeoutMs: '800ms' }))).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        resilience.policies["payments.charge"].timeoutMs: must be false or a number, received "800ms" (from module options)"
    `);
  });

  it('forget the name of the service', async () => {
    expect(await messageOf({ service: {} })).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        service.name: is required: text"
    `);
  });

  it('give an attempt more time than the whole call', async () => {
    expect(await messageOf(policy({ timeoutMs: 5_000, totalTimeoutMs: 2_000 }))).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        resilience.policies["payments.charge"]: Policy "payments.charge" can't work: timeoutMs 5000 (policies["payments.charge"]) is above totalTimeoutMs 2000 (policies["payments.charge"]): the attempt could never use its time, received { "timeoutMs": 5000, "totalTimeoutMs": 2000 } (from module options)"
    `);
  });

  it('let policies extend each other', async () => {
    const policies = { a: { extends: 'b' }, b: { extends: 'a' } };
    expect(await messageOf({ resilience: { policies } })).toMatchInlineSnapshot(`
      "The configuration is invalid (2 problems):
        resilience.policies.a: policies["a"] extends itself: b -> a -> b, received { "extends": "b" } (from module options)
        resilience.policies.b: policies["b"] extends itself: a -> b -> a, received { "extends": "a" } (from module options)"
    `);
  });

  it('plan a shutdown whose phases do not fit into it', async () => {
    expect(await messageOf({ lifecycle: { shutdown: { totalMs: 10_000 } } })).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        lifecycle.shutdown.totalMs: the phases take up to 23600 ms together (pre-stop, intake, drain and two hurried ones, abort, component, flush), more than the total of 10000 ms; raise it with terminationGracePeriodSeconds, or lower them, received 10000 (from module options)"
    `);
  });

  it('return from the factory what belongs beside it', async () => {
    expect(await messageOf({ isGlobal: false })).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        isGlobal: does not belong here: pass it in the second argument of forRoot or forRootAsync, where Nest can still see it (from module options)"
    `);
  });

  it('misspell an environment variable', async () => {
    expect(await messageOf({}, { MESH_CACHE__TTL: '5000' })).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        MESH_CACHE__TTL: leads to no option; did you mean MESH_CACHE__TTL_MS? (from environment)"
    `);
  });

  it('give a wrong URL with a password in it', async () => {
    expect(await messageOf({}, { MESH_CACHE__REDIS__URL: 'http://user:hunter2@redis:6379' })).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        cache.redis.url: must begin with redis:// or rediss://, received "***" (from environment MESH_CACHE__REDIS__URL)"
    `);
  });

  it('choose a value that does not exist', async () => {
    expect(await messageOf({ logging: { level: 'warning' } })).toMatchInlineSnapshot(`
      "The configuration is invalid (1 problem):
        logging.level: must be one of "trace", "debug", "info", "warn", "error", "fatal", "silent", received "warning" (from module options)"
    `);
  });

  it('make several mistakes at once', async () => {
    const options = { health: { everyMs: 10, http: { paths: { ready: 'ready' } } }, metrics: { http: true }, cach: {} };
    expect(await messageOf(options, { MESH_LOGGING__REDACT: '[iban' })).toMatchInlineSnapshot(`
      "The configuration is invalid (5 problems):
        logging.redact: must be valid JSON, and is not at line 1 column 2, received a text of 5 characters (from environment MESH_LOGGING__REDACT)
        health.everyMs: must be at least 100, received 10 (from module options)
        health.http.paths.ready: must be an absolute path: it starts with "/" and has no query, received "ready" (from module options)
        metrics.http: must be false or an object, received true (from module options)
        cach: is not an option; did you mean cache? (from module options)"
    `);
  });
});
