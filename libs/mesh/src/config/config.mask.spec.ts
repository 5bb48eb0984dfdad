import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { loadConfig } from './config.loader.js';
import { masked, shown } from './config.mask.js';

const schema = z.strictObject({
  redis: z.strictObject({ url: z.string(), password: z.string(), pin: z.int().meta({ secret: true }) }).partial(),
  maxToken: z.int().optional(),
  driver: z.record(z.string(), z.unknown()).optional(),
  servers: z.array(z.string()).optional(),
});

describe('masked', () => {
  it.each([
    [{ redis: { pin: 1234 } }, { redis: { pin: '***' } }],
    [{ redis: { password: 'hunter2' } }, { redis: { password: '***' } }],
    [{ maxToken: 5 }, { maxToken: 5 }],
    [{ driver: { apiKey: 'hunter2', keepAlive: true } }, { driver: { apiKey: '***', keepAlive: true } }],
    [{ driver: { tls: { private_key: 'hunter2' } } }, { driver: { tls: { private_key: '***' } } }],
    [{ redis: { url: 'redis://user:hunter2@a:1/0' } }, { redis: { url: 'redis://***@a:1/0' } }],
    [{ redis: { url: 'redis://:hunter@2@a' } }, { redis: { url: 'redis://***@a' } }],
    [{ servers: ['nats://a', 'nats://u:hunter2@b'] }, { servers: ['nats://a', 'nats://***@b'] }],
    [{ redis: { url: 'https://a/x?api_key=hunter2&b=1' } }, { redis: { url: 'https://a/x?api_key=***&b=1' } }],
    [{ misspelt: { secrets: 'hunter2' } }, { misspelt: { secrets: '***' } }],
  ])('makes %o fit to be shown', (value, expected) => {
    expect(masked([schema], value)).toEqual(expected);
  });

  it('holds for single changes of open options', async () => {
    const live = schema.meta({ update: 'live' });
    const store = await loadConfig({ schema: live, value: { redis: {} }, env: {} });
    const { changes } = await store.update({ driver: { password: 'hunter2' } }, { source: 'test', healthWindowMs: 0 });
    expect(changes).toMatchObject([{ path: 'driver.password', to: '***' }]);
    expect(store.explain('driver.password').value).toBe('***');
  });
});

describe('shown', () => {
  it.each([
    [() => 1, '[function]'],
    [new (class Client {})(), '[Client]'],
    [Number.NaN, 'NaN'],
    [{ a: [1, 'b'], c: undefined }, '{ "a": [1, "b"], "c": undefined }'],
    ['x'.repeat(200), `"${'x'.repeat(78)}…`],
  ])('names %o', (value, text) => {
    expect(shown(value)).toBe(text);
  });
});
