import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { type MeshEventMap, MeshModule, type MeshOptions, Resilient, ServiceMesh } from 'nestjs-mesh';
import { afterEach, describe, expect, it } from 'vitest';
import { until } from '../../chaos/cache/shared-cache.js';

/** The measure is 10,000 calls a second while a policy changes 100 times; `MESH_LOAD_S=10` makes it longer. */
const SECONDS = Number(process.env['MESH_LOAD_S'] ?? 1);
const UPDATES = 100;
const CALLS_PER_MS = 10;

@Injectable()
class Payments {
  answer: () => unknown = () => 'paid';

  @Resilient('payments.charge', { timeoutMs: 1_000 })
  async charge(): Promise<unknown> {
    return this.answer();
  }
}

let apps: { close(): Promise<void> }[] = [];
let cleanUps: (() => Promise<void> | void)[] = [];

async function boot(options: Partial<MeshOptions> = {}) {
  @Module({
    imports: [MeshModule.forRoot({ service: { name: 'orders' }, logging: { level: 'silent' }, ...options })],
    providers: [Payments],
  })
  class App {}
  const app = await Test.createTestingModule({ imports: [App] }).compile();
  apps.push(app);
  await app.init();
  const mesh = app.get(ServiceMesh);
  const told: (readonly [name: string, event: MeshEventMap[keyof MeshEventMap]])[] = [];
  mesh.events.onAny((name, event) => {
    if (name.startsWith('config.')) told.push([name, event]);
  });
  return { app, mesh, payments: app.get(Payments), told };
}

const now = { source: 'ops', healthWindowMs: 0 };
const charge = (options: object) => ({ resilience: { policies: { 'payments.charge': options } } });
const limitOf = (mesh: ServiceMesh) =>
  mesh.breakers.describePolicy('payments.charge').values.find(({ path }) => path === 'timeoutMs')?.value;
const fail = (): never => {
  throw new Error('down');
};

afterEach(async () => {
  await Promise.all(apps.map((app) => app.close()));
  apps = [];
  for (const cleanUp of cleanUps) await cleanUp();
  cleanUps = [];
});

describe('a policy that changes 100 times under load', () => {
  it('fails no call, and an open breaker stays open', { timeout: 20_000 + 2_000 * SECONDS }, async () => {
    const { mesh, payments } = await boot({
      resilience: {
        policies: {
          ledger: { retry: false, circuitBreaker: { minimumCalls: 2, openMs: 3_600_000, maxOpenMs: 3_600_000 } },
        },
      },
    });
    const ledger = mesh.breakers.policy('ledger');
    for (let i = 0; i < 2; i++) await ledger.execute(fail).catch(() => undefined);

    let [calls, failed, updates] = [0, 0, 0];
    const running: Promise<unknown>[] = [];
    const startedAt = performance.now();
    const nextUpdate = (): number => (updates * SECONDS * 1_000) / UPDATES;
    const endMs = SECONDS * 1_000;
    // On a busy machine the updates take longer than the time that was meant for them.
    for (let elapsed = 0; elapsed < endMs || updates < UPDATES; elapsed = performance.now() - startedAt) {
      for (; calls < elapsed * CALLS_PER_MS; calls++) running.push(payments.charge().catch(() => failed++));
      if (updates < UPDATES && elapsed >= nextUpdate()) {
        updates++;
        const thresholds = {
          timeoutMs: 500 + updates,
          retry: updates % 2 === 0 && { maxRetries: 1 + (updates % 3) },
          circuitBreaker: { minimumCalls: 5 + updates, windowMs: 1_000 + updates, failureRatio: 0.2 + updates / 200 },
          bulkhead: updates % 3 === 0 && { maxConcurrent: 5_000 + updates },
          rateLimit: updates % 5 === 0 && { limit: 1_000_000 + updates, intervalMs: 1_000 },
        };
        const { outcome } = await mesh.config.update(
          { resilience: { policies: { 'payments.charge': thresholds, ledger: { timeoutMs: 100 + updates } } } },
          now,
        );
        expect(outcome).toBe('applied');
      }
      await turn();
    }
    await Promise.all(running.splice(0));

    expect({ failed, updates }).toEqual({ failed: 0, updates: UPDATES });
    expect(calls).toBeGreaterThan(SECONDS * 1_000 * CALLS_PER_MS * 0.95);
    expect(mesh.breakers.breaker('ledger').state).toBe('open');
    expect(limitOf(mesh)).toBe(600);
    await expect(ledger.execute(() => 1)).rejects.toMatchObject({ code: 'MESH_CIRCUIT_OPEN' });
  });

  it('forgets none of the failures that it has counted', async () => {
    const { mesh, payments } = await boot();
    payments.answer = fail;
    await mesh.config.update(charge({ circuitBreaker: { minimumCalls: 10 } }), now);
    for (let i = 0; i < 9; i++) {
      await payments.charge().catch(() => undefined);
      await mesh.config.update(charge({ circuitBreaker: { openMs: 5_000 + i } }), now);
    }
    expect(mesh.breakers.breaker('payments.charge').state).toBe('closed');
    await payments.charge().catch(() => undefined);
    expect(mesh.breakers.breaker('payments.charge').state).toBe('open');
  });

  it('finishes a call with the options that it began with', async () => {
    const { mesh, payments } = await boot();
    payments.answer = () => new Promise((resolve) => setTimeout(resolve, 60, 'late'));
    const call = payments.charge();
    await mesh.config.update(charge({ timeoutMs: 20 }), now);
    expect(await call).toBe('late');
    await expect(payments.charge()).rejects.toMatchObject({ code: 'MESH_ATTEMPT_TIMEOUT' });
  });
});

describe('an update that fails', () => {
  const good = { logging: { level: 'fatal' }, ...charge({ timeoutMs: 700 }) };
  const brokenStore = {
    get: () => Promise.reject(new Error('no route')),
    set: () => undefined,
    delete: () => undefined,
  };

  it.each([
    [
      'by its values',
      charge({ timeoutMs: -1 }),
      'MESH_CONFIG_INVALID',
      'timeoutMs: must be more than 0, received -1 (from runtime ops)',
    ],
    [
      'in a rule between options',
      charge({ totalTimeoutMs: 100 }),
      'MESH_CONFIG_REFUSED',
      'resilience can\'t take it: Policy "payments.charge" can\'t work: timeoutMs 1000 (declared by Payments.charge) is above totalTimeoutMs 100',
    ],
    ['because it would need a restart', { metrics: { http: false } }, 'MESH_CONFIG_RESTART_REQUIRED', 'metrics.http'],
    [
      'in a room that prepares',
      { cache: { store: brokenStore } },
      'MESH_CONFIG_REFUSED',
      'cache failed to prepare it: the second tier did not answer within 4500 ms (no route)',
    ],
  ])('%s is refused as a whole', async (_, bad, code, text) => {
    const { mesh, told } = await boot();
    const before = mesh.config.snapshot;
    const patch = { ...bad, logging: { level: 'fatal' } };
    await expect(mesh.config.update(patch, now)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(text),
    });
    expect(mesh.config.snapshot).toBe(before);
    expect(told).toMatchObject([['config.rejected', { generation: 1, source: 'ops', code }]]);
  });

  it('while it is committed is taken back', async () => {
    const { mesh } = await boot();
    const before = mesh.config.snapshot;
    mesh.config.section('logging').onChange((next) => {
      if (next.level === 'fatal') fail();
    });
    await expect(mesh.config.update(good, now)).rejects.toMatchObject({ code: 'MESH_CONFIG_REFUSED' });
    expect(mesh.config.snapshot).toBe(before);
    expect(limitOf(mesh)).toBe(1_000);
  });

  it('in the health of the service is rolled back', async () => {
    const { mesh, told } = await boot();
    mesh.health.register({ name: 'ledger', groups: { ready: 'required' } });
    mesh.health.update('ledger', { status: 'up' });
    const update = mesh.config.update(good, { source: 'ops' });
    const refusal = expect(update).rejects.toMatchObject({
      code: 'MESH_CONFIG_ROLLED_BACK',
      message: expect.stringContaining('ledger went down under it (no answer)'),
    });
    await until(() => mesh.config.generation === 2, 1_000);
    mesh.health.update('ledger', { status: 'down', reason: 'no answer' });
    await refusal;
    expect(told.map(([name]) => name)).toEqual(['config.changed', 'config.rolled-back']);
    expect(mesh.config.explain('logging.level')).toMatchObject({ value: 'silent', source: 'module options' });
    expect(limitOf(mesh)).toBe(1_000);
    const { body } = await mesh.metrics.expose();
    expect(body).toContain('mesh_config_generation 3');
    expect(body).toContain('mesh_config_updates_total{result="rolled-back"} 1');
  });
});

describe('the configuration file of a running application', () => {
  it('is followed from ready to the shutdown, and a bad version changes nothing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mesh-'));
    const file = join(folder, 'mesh.json');
    const write = (timeoutMs: unknown) => writeFile(file, JSON.stringify(charge({ timeoutMs })));
    await write(300);
    process.env['MESH_CONFIG_FILE'] = file;
    cleanUps = [() => void delete process.env['MESH_CONFIG_FILE'], () => rm(folder, { recursive: true })];
    const { app, mesh, told } = await boot();
    const limit = () => limitOf(mesh);
    expect(limit()).toBe(300);

    await write(400);
    await until(() => limit() === 400, 5_000);
    await write('soon');
    await until(() => told.at(-1)?.[0] === 'config.rejected', 12_000);
    expect(limit()).toBe(400);
    await write(500);
    await until(() => limit() === 500, 12_000);

    await app.close();
    await expect(mesh.config.update({}, now)).rejects.toMatchObject({ code: 'MESH_DRAINING' });
  }, 40_000);
});

it('names a policy that extends what nobody has declared when the application has started', async () => {
  const resilience = { policies: { a: { extends: 'payments.chrage' } } };
  await expect(boot({ resilience })).rejects.toThrow(/extends "payments.chrage".*did you mean "payments.charge"/);
});
