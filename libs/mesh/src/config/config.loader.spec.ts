import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { load, refusalOf, service } from '../../../../test/config/config.fixture.js';
import { importYaml } from './yaml.adapter.js';

describe('loadConfig', () => {
  it('fills in every default from the service name alone', async () => {
    const { snapshot } = await load({ service });
    expect(snapshot.resilience.defaults.timeoutMs).toBe(3_000);
    expect(snapshot.cache).toEqual({ ttlMs: 30_000 });
  });

  it('freezes the snapshot at every depth', async () => {
    const { snapshot } = await load({ service, broker: { transport: 'nats', servers: ['nats://a'] } });
    expect(() => Object.assign(snapshot.resilience.defaults, { timeoutMs: 1 })).toThrow(TypeError);
    expect(() => (snapshot.broker as { servers: string[] }).servers.push('nats://b')).toThrow(TypeError);
  });

  it('passes functions and class instances by reference and leaves them as they are', async () => {
    const client = new (class Client {
      options = { open: true };
    })();
    const plainClient = { get: () => 1, state: { calls: 0 } };
    const fallback = () => 'later';
    const value = { service, cache: { client }, resilience: { policies: { a: { fallback } } } };
    const { snapshot } = await load(value, { MESH_CACHE__TTL_MS: '5', MESH_RESILIENCE__POLICIES__A__TIMEOUT_MS: '9' });
    expect(snapshot.cache && snapshot.cache.client).toBe(client);
    expect(snapshot.resilience.policies['a']).toEqual({ fallback, timeoutMs: 9, retry: { maxRetries: 2 } });
    const other = await load({ service, cache: { client: plainClient } }, { MESH_CACHE__TTL_MS: '5' });
    expect(other.snapshot.cache && other.snapshot.cache.client).toBe(plainClient);
    plainClient.state.calls++;
    expect(Object.isFrozen(value.cache)).toBe(false);
  });

  it('takes a client that refers to itself, and shows it', async () => {
    const client: Record<string, unknown> = { state: { open: true } };
    client['self'] = client;
    const store = await load({ service, cache: { client } });
    expect(store.snapshot.cache && store.snapshot.cache.client).toBe(client);
    expect(store.explain('cache.client').value).toEqual({ state: { open: true }, self: '[circular]' });
    expect(await refusalOf(load({ service: client }))).toContain('service.self: is not an option');
  });

  it('takes an options object that is an instance of a class', async () => {
    class Options {
      service = service;
    }
    expect((await load(new Options())).snapshot.service.name).toBe('orders');
  });

  it('merges one leaf without touching its neighbours', async () => {
    const value = { service, resilience: { policies: { a: { timeoutMs: 100, retry: { maxRetries: 1 } } } } };
    const { snapshot } = await load(value, { MESH_RESILIENCE__POLICIES__A__TIMEOUT_MS: '200' });
    expect(snapshot.resilience.policies['a']).toEqual({ timeoutMs: 200, retry: { maxRetries: 1 } });
  });

  it('keeps the same section object for the same key', async () => {
    const store = await load({ service });
    expect(store.section('cache')).toBe(store.section('cache'));
    expect(store.section('cache').current).toBe(store.snapshot.cache);
  });

  it('keeps two applications apart', async () => {
    const [a, b] = await Promise.all([load({ service }), load({ service: { name: 'payments' } })]);
    expect([a.snapshot.service.name, b.snapshot.service.name]).toEqual(['orders', 'payments']);
  });
});

describe('environment', () => {
  it('sets options of every kind', async () => {
    const { snapshot } = await load(
      { service },
      {
        MESH_SERVICE__VERSION: '14',
        MESH_METRICS__ENABLED: 'false',
        MESH_BROKER__TRANSPORT: 'nats',
        MESH_BROKER__SERVERS: '["nats://b","nats://c"]',
        MESH_CACHE__TTL_MS: '50',
      },
    );
    expect(snapshot).toMatchObject({
      service: { name: 'orders', version: '14' },
      metrics: { enabled: false },
      broker: { transport: 'nats', servers: ['nats://b', 'nats://c'] },
      cache: { ttlMs: 50 },
    });
  });

  it.each([
    ['MESH_RESILIENCE__POLICIES__PAYMENTS_CHARGE__TIMEOUT_MS', 'payments.charge'],
    ['MESH_RESILIENCE__POLICIES__STOCK__RESERVE__TIMEOUT_MS', 'stock--reserve'],
    ['MESH_RESILIENCE__POLICIES__CHARGELATER__TIMEOUT_MS', 'chargeLater'],
  ])('finds by %s the policy "%s"', async (variable, name) => {
    const { snapshot } = await load({ service, resilience: { policies: { [name]: {} } } }, { [variable]: '7' });
    expect(snapshot.resilience.policies[name]?.timeoutMs).toBe(7);
  });

  it('lets a variable refer to a name that another variable brings', async () => {
    const { snapshot } = await load(
      { service },
      {
        MESH_RESILIENCE__POLICIES__A_B__TIMEOUT_MS: '7',
        MESH_RESILIENCE__POLICIES: '{"a.b":{"timeoutMs":5,"retry":{"maxRetries":0}}}',
      },
    );
    expect(snapshot.resilience.policies).toEqual({ 'a.b': { timeoutMs: 7, retry: { maxRetries: 0 } } });
  });

  it('refuses a variable that may mean two names', async () => {
    const value = { service, resilience: { policies: { 'a.b': {}, 'a-b': {} } } };
    expect(await refusalOf(load(value, { MESH_RESILIENCE__POLICIES__A_B__TIMEOUT_MS: '7' }))).toContain(
      'may mean resilience.policies["a.b"].timeoutMs and resilience.policies.a-b.timeoutMs',
    );
  });

  it('ignores what orchestrators inject', async () => {
    await load(
      { service },
      { MESH_GATEWAY_SERVICE_HOST: '10.0.0.1', MESH_PORT: 'tcp://10.0.0.1:80', OTHER__NAME: 'x' },
    );
  });

  it('does not follow the process environment once it was read', async () => {
    const env: Record<string, string> = { MESH_CACHE__TTL_MS: '6' };
    const store = await load({ service }, env);
    env['MESH_CACHE__TTL_MS'] = '7';
    expect(store.snapshot.cache).toEqual({ ttlMs: 6 });
  });
});

describe('file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mesh-config-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function write(name: string, text: string): Promise<{ MESH_CONFIG_FILE: string }> {
    const path = join(folder, name);
    await writeFile(path, text);
    return { MESH_CONFIG_FILE: path };
  }

  it('stands over the module options and under the environment', async () => {
    const env = await write('mesh.json', '{"cache":{"ttlMs":2},"resilience":{"defaults":{"timeoutMs":2}}}');
    const value = { service, cache: { ttlMs: 1 }, resilience: { defaults: { timeoutMs: 1 } } };
    const { snapshot } = await load(value, { ...env, MESH_RESILIENCE__DEFAULTS__TIMEOUT_MS: '3' });
    expect(snapshot).toMatchObject({ cache: { ttlMs: 2 }, resilience: { defaults: { timeoutMs: 3 } } });
  });

  it('loads the YAML parser for a YAML file only', async () => {
    const parsed: string[] = [];
    const yaml = async () => ({ parse: (text: string) => (parsed.push(text), { cache: { ttlMs: 4 } }) });
    await load({ service }, await write('mesh.json', '{}'), { yaml });
    expect(parsed).toEqual([]);
    const { snapshot } = await load({ service }, await write('mesh.yml', 'cache: …'), { yaml });
    expect(parsed).toEqual(['cache: …']);
    expect(snapshot.cache).toEqual({ ttlMs: 4 });
  });

  it('may be YAML', async () => {
    const env = await write(
      'mesh.yaml',
      'cache:\n  ttlMs: 4\nresilience:\n  policies:\n    payments.charge: { timeoutMs: 5 }\n',
    );
    const { snapshot } = await load({ service }, env);
    expect(snapshot.cache).toEqual({ ttlMs: 4 });
    expect(snapshot.resilience.policies['payments.charge']?.timeoutMs).toBe(5);
    const message = await refusalOf(load({ service }, await write('broken.yaml', 'a:\n  password: "hunter2\n')));
    expect(message).toMatch(/must be valid YAML, and is not at line \d+, column \d+/);
    expect(message).not.toContain('hunter2');
  });

  it('says where it is broken', async () => {
    const env = await write('mesh.json', '{\n "cache": {"ttlMs": 5\n "x"');
    expect(await refusalOf(load({ service }, env))).toContain('must be valid JSON, and is not at line 3 column 2');
  });

  it('may begin with a byte order mark', async () => {
    const { snapshot } = await load({ service }, await write('mesh.json', '\uFEFF{"cache":{"ttlMs":4}}'));
    expect(snapshot.cache).toEqual({ ttlMs: 4 });
  });

  it('may name its JSON Schema', async () => {
    await load({ service }, await write('mesh.json', '{"$schema":"./schema.json"}'));
  });

  it('must hold an object', async () => {
    expect(await refusalOf(load({ service }, await write('mesh.json', '[]')))).toContain(
      'must hold an object at the top',
    );
  });

  it('names the package that a YAML file needs', async () => {
    const yaml = () => importYaml(() => Promise.reject(new Error('not found')));
    expect(await refusalOf(load({ service }, await write('mesh.yaml', ''), { yaml }))).toContain('npm install yaml');
  });

  it('names the file that is missing', async () => {
    const path = join(folder, 'none.json');
    expect(await refusalOf(load({ service }, { MESH_CONFIG_FILE: path }))).toContain(
      `failed with ENOENT (from file ${path})`,
    );
  });

  it('does not quote the text of a file that is broken', async () => {
    const message = await refusalOf(load({ service }, await write('mesh.json', '{ "password": hunter2 }')));
    expect(message).toContain('must be valid JSON, and is not at line 1 column 15 (from file');
    expect(message).not.toContain('hunter2');
  });
});
