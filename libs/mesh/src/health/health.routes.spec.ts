import { beforeEach, describe, expect, it } from 'vitest';
import { HealthFixture } from '../../../../test/e2e/health/health.fixture.js';
import type { RawRequest, RawResponse } from '../core/raw-route.js';
import type { VirtualClock } from '../testing/virtual-clock.js';
import type { HealthAggregator } from './health.aggregator.js';
import type { HealthSnapshot } from './health-group.js';
import { HealthFormatter, type HealthBody } from './health.formatter.js';
import { healthRoutes, type HealthDetails } from './health.routes.js';

class CountingFormatter extends HealthFormatter {
  written = 0;
  failsNext = false;

  override format({ status, entries }: HealthSnapshot): Promise<HealthBody> {
    this.written++;
    if (this.failsNext) {
      this.failsNext = false;
      return Promise.reject(new Error('broken'));
    }
    return Promise.resolve({ status, info: {}, error: {}, details: entries });
  }
}

const REQUEST: RawRequest = {
  method: 'GET',
  path: '/health/ready',
  query: new URLSearchParams(),
  headers: {},
  remoteAddress: '127.0.0.1',
};

describe('healthRoutes', () => {
  let clock: VirtualClock;
  let health: HealthAggregator;
  let formatter: CountingFormatter;

  function routes(given: unknown = {}, details?: HealthDetails) {
    const { options, ...fixture } = new HealthFixture(given);
    ({ clock, health } = fixture);
    return healthRoutes({ health, formatter, options, details });
  }

  function probe(table: ReturnType<typeof routes>, path = '/health/ready', request: Partial<RawRequest> = {}) {
    return table.find((route) => route.path === path)!.handle({ ...REQUEST, path, ...request }) as Promise<RawResponse>;
  }

  beforeEach(() => {
    formatter = new CountingFormatter();
  });

  it('answers 503 with Retry-After until ready, then 200, and is never cached on the way', async () => {
    const table = routes();
    const starting = await probe(table);
    expect(starting).toMatchObject({ status: 503, headers: { 'retry-after': '10', 'cache-control': 'no-store' } });
    health.setPhase('ready');
    const ready = await probe(table);
    expect(ready).toMatchObject({ status: 200, headers: { 'cache-control': 'no-store' } });
    expect(ready.headers).not.toHaveProperty('retry-after');
  });

  it('writes an answer once for fifty probes and again when something changes', async () => {
    const table = routes();
    health.setPhase('ready');
    await Promise.all(Array.from({ length: 50 }, () => probe(table)));
    expect(formatter.written).toBe(1);
    health.setPhase('draining');
    expect((await probe(table)).status).toBe(503);
    expect(formatter.written).toBe(2);
  });

  it('stays live while draining', async () => {
    const table = routes();
    health.setPhase('draining');
    expect((await probe(table, '/health/live')).status).toBe(200);
  });

  it('shows strangers the status only', async () => {
    const table = routes();
    health.setUnready('reindexing');
    health.setPhase('ready');
    expect(JSON.parse((await probe(table)).body)).toEqual({ status: 'down', info: {}, error: {}, details: {} });
  });

  it('shows details to whom the rule allows it, and to nobody when the rule throws', async () => {
    const table = routes({}, ({ headers }) => {
      if (headers.authorization === 'broken') throw new Error('no');
      return headers.authorization === 'Bearer ops';
    });
    health.setUnready('reindexing');
    health.setPhase('ready');
    const body = async (authorization: string) =>
      (await probe(table, '/health/ready', { headers: { authorization } })).body;
    expect(await body('Bearer ops')).toContain('reindexing');
    expect(await body('Bearer other')).not.toContain('reindexing');
    expect(await body('broken')).not.toContain('reindexing');
    expect(await body('Bearer ops')).toContain('reindexing');
  });

  it('takes a promise of the rule for no, and lets it reject', async () => {
    const rejects = (async () => Promise.reject(new Error('no session'))) as unknown as () => boolean;
    const table = routes({}, rejects);
    health.setUnready('reindexing');
    health.setPhase('ready');
    expect((await probe(table)).body).not.toContain('reindexing');
  });

  it('shows details to everybody when configured', async () => {
    const table = routes({ details: 'always' });
    expect((await probe(table)).body).toContain('The application is starting.');
  });

  it('serves the configured paths, groups of the user included', async () => {
    const table = routes({ http: { paths: { live: '/livez', deep: '/health/deep' } } });
    expect(table.map(({ path }) => path).sort()).toEqual([
      '/health/deep',
      '/health/ready',
      '/health/startup',
      '/livez',
    ]);
    health.register({ name: 'db', groups: { deep: 'required' } });
    health.update('db', { status: 'up' });
    expect((await probe(table, '/health/deep')).status).toBe(200);
  });

  it('has no route when switched off', () => {
    expect(routes({ http: false })).toEqual([]);
  });

  it('writes anew after an answer could not be written', async () => {
    const table = routes();
    formatter.failsNext = true;
    await expect(probe(table)).rejects.toThrow('broken');
    await clock.advance(0);
    expect((await probe(table)).status).toBe(503);
  });
});
