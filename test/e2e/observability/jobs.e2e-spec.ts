import { type DynamicModule, Inject, Injectable, Module, type Type } from '@nestjs/common';
import type { INestApplicationContext } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Cron, CronExpression, Interval, ScheduleModule, SchedulerRegistry, Timeout } from '@nestjs/schedule';
import { CallContexts, DrainingError, MeshModule, MessageBroker, Resilient, ServiceMesh, Subscribe } from 'nestjs-mesh';
import { PinoLogger } from 'nestjs-pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { captureLog } from './captured-log.fixture.js';

type Line = Readonly<Record<string, unknown>>;

/** New classes each time: what the mesh puts around their methods stays there. */
function newReports() {
  abstract class Scheduled {
    runs = 0;
    @Inject() protected readonly log!: PinoLogger;

    @Interval('inherited', 20)
    inherited(): void {
      this.log.info('inherited');
    }
  }

  @Injectable()
  class Reports extends Scheduled {
    constructor(private readonly broker: MessageBroker) {
      super();
    }

    @Cron(CronExpression.EVERY_SECOND, { name: 'nightly' })
    async nightly(): Promise<void> {
      this.runs++;
      this.log.info('in the cron job');
      await this.charge();
      await this.broker.publish('reported', {});
    }

    @Timeout('once', 20)
    once(): void {
      this.log.info('once');
    }

    @Resilient('charge', { retry: false })
    async charge(): Promise<void> {
      this.log.info('in the policy');
    }

    @Subscribe('reported')
    onReported(): void {
      this.log.info('in the subscriber');
    }
  }
  return Reports;
}

let app: INestApplicationContext;
let lines: string[];

beforeEach(() => (lines = []));
afterEach(() => app.close());

async function start(modules: (schedule: DynamicModule, mesh: DynamicModule) => (DynamicModule | Type)[]) {
  const mesh = MeshModule.forRoot({ service: { name: 'shop', instance: 'shop-1' } });
  const Reports = newReports();
  @Module({ imports: modules(ScheduleModule.forRoot(), mesh), providers: [Reports] })
  class App {}
  const module = await captureLog(Test.createTestingModule({ imports: [App] }), lines).compile();
  app = await module.init();
  return { reports: app.get(Reports) };
}

const json = (): Line[] => lines.map((line) => JSON.parse(line) as Line);
const line = async (msg: string): Promise<Line> => {
  await expect.poll(() => json().some((one) => one['msg'] === msg), { timeout: 5_000 }).toBe(true);
  return json().find((one) => one['msg'] === msg)!;
};

describe.each([
  ['MeshModule is imported first', (schedule: DynamicModule, mesh: DynamicModule) => [mesh, schedule]],
  ['ScheduleModule is imported first', (schedule: DynamicModule, mesh: DynamicModule) => [schedule, mesh]],
])('work of @nestjs/schedule, when %s', (_which, modules) => {
  it('logs in a call context of its own: cron job, policy and subscriber in one, each run in another', async () => {
    await start(modules);
    const first = await line('in the cron job');
    expect(first).toMatchObject({
      service: 'shop',
      instance: 'shop-1',
      correlationId: expect.stringMatching(/^[\da-f-]{36}$/),
      traceId: expect.stringMatching(/^[\da-f]{32}$/),
    });
    const { correlationId, traceId } = first;
    expect(await line('in the policy')).toMatchObject({ correlationId, traceId });
    expect(await line('in the subscriber')).toMatchObject({ correlationId, traceId });
    for (const other of ['once', 'inherited']) {
      const { correlationId: own } = await line(other);
      expect(own).toEqual(expect.any(String));
      expect(own).not.toBe(correlationId);
    }
    const jobs = () => json().filter(({ msg }) => msg === 'in the cron job');
    await expect.poll(() => jobs().length, { timeout: 5_000 }).toBeGreaterThan(1);
    expect(new Set(jobs().map((job) => job['correlationId'])).size).toBe(jobs().length);
  });
});

describe('a job', () => {
  const only = (_schedule: DynamicModule, mesh: DynamicModule) => [mesh];
  const mesh = () => app.get(ServiceMesh);
  const gate = () => Promise.withResolvers<void>();

  it('carries on what its cause was part of', async () => {
    await start(only);
    const contexts = app.get(CallContexts);
    const headers = { 'x-correlation-id': 'corr-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };
    expect(await mesh().run('invoices', async () => contexts.current(), headers)).toEqual({
      correlationId: 'corr-1',
      traceparent: headers.traceparent,
    });
    expect(mesh().run('sync', () => contexts.current()?.correlationId)).toEqual(expect.any(String));
    expect(contexts.current()).toBeUndefined();
  });

  it('that a request begins keeps its ids, but not its deadline', async () => {
    await start(only);
    const contexts = app.get(CallContexts);
    const request = { correlationId: 'corr-1', deadlineAt: Date.now() + 10 };
    const inside = contexts.run(request, () => mesh().run('mail', () => contexts.current()));
    expect(inside).toEqual({ correlationId: 'corr-1' });
  });

  it('is waited for by the shutdown, and may use the mesh meanwhile', async () => {
    await start(only);
    const { promise: released, resolve: release } = gate();
    const job = mesh().run('invoices', async () => {
      await released;
      await mesh().broker.publish('reported', {});
      return 'done';
    });
    const closed = app.close();
    await expect.poll(() => mesh().lifecycle.phase).toBe('draining');
    release();
    expect(await job).toBe('done');
    await closed;
    expect(mesh().lifecycle.phase).toBe('stopped');
    await line('in the subscriber');
  });

  it('is refused once the intake has stopped, and a scheduled one does not begin', async () => {
    const { reports } = await start((schedule, module) => [module, schedule]);
    app.get(SchedulerRegistry).deleteCronJob('nightly');
    const { promise: released, resolve: release } = gate();
    const job = mesh().run('invoices', () => released);
    const closed = app.close();
    await expect.poll(() => refusalOf(() => mesh().run('late', () => 1))).toBeInstanceOf(DrainingError);
    await reports.nightly();
    expect(reports.runs).toBe(0);
    release();
    await job;
    await closed;
  });

  it('that throws is counted as ended', async () => {
    await start(only);
    const broken = new Error('broken');
    expect(() =>
      mesh().run('sync', () => {
        throw broken;
      }),
    ).toThrow(broken);
    await expect(mesh().run('async', () => Promise.reject(broken))).rejects.toBe(broken);
    await app.close();
    expect(json().find(({ event, phase }) => event === 'lifecycle.shutdown-phase' && phase === 'drain')).toMatchObject({
      inFlightBefore: 0,
      unfinished: [],
    });
  });
});

function refusalOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}
