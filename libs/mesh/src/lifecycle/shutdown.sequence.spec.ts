import { describe, expect, it } from 'vitest';
import type { Drainable } from './drainable.js';
import { LifecycleBench, type Behaviour } from '../../../../test/e2e/lifecycle/lifecycle.fixture.js';
import { lifecycleSchema } from './lifecycle.options.js';

/** Work from outside on the bench's clock: `requests` end after so many milliseconds, `Infinity` never by themselves. */
class Traffic implements Drainable {
  readonly name = 'http';
  readonly #bench: LifecycleBench;
  readonly #ends: number[];
  #aborted = false;

  constructor(bench: LifecycleBench, requests: readonly number[]) {
    this.#bench = bench;
    this.#ends = requests.map((ms) => bench.clock.monotonic() + ms);
  }

  get inFlight(): number {
    return this.#aborted ? 0 : this.#ends.filter((end) => end > this.#bench.clock.monotonic()).length;
  }

  beginDrain(): void {
    this.#bench.note('begin drain');
  }

  stopIntake(): void {
    this.#bench.note('stop intake');
  }

  async drained(signal: AbortSignal): Promise<void> {
    const lastsMs = Math.max(0, ...this.#ends) - this.#bench.clock.monotonic();
    if (lastsMs === Infinity)
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    else if (lastsMs > 0) await this.#bench.clock.sleep(lastsMs, signal);
    this.#bench.note('drained');
  }

  abort(): void {
    this.#aborted = true;
    this.#bench.note('abort');
  }
}

async function ready(options: object = {}, environment: ConstructorParameters<typeof LifecycleBench>[1] = {}) {
  const bench = new LifecycleBench({ shutdown: options }, environment);
  bench.noteEvents('lifecycle.shutdown-phase', ({ phase, durationMs, inFlightBefore, inFlightAfter, unfinished }) =>
    [`${phase}: ${durationMs} ms, ${inFlightBefore} -> ${inFlightAfter}`, ...unfinished].join(', '),
  );
  bench.noteEvents('lifecycle.phase', ({ phase }) => `phase ${phase}`);
  return bench;
}

async function boot(bench: LifecycleBench): Promise<void> {
  await bench.lifecycle.onMeshInit();
  bench.lifecycle.onEdgeInit();
  await bench.lifecycle.onMeshBootstrap();
  await bench.lifecycle.onEdgeBootstrap();
  bench.journal.length = 0;
}

describe('shutdown', () => {
  it('flips readiness, stops the intake, drains, stops in reverse and flushes, and says how long each took', async () => {
    const bench = await ready();
    bench.lifecycle.addDrainable(new Traffic(bench, [400, 700]));
    bench.lifecycle.register(bench.component('broker', { drain: 50, stop: 20 }), 'mesh');
    bench.lifecycle.addFlush(() => bench.note('flush'));
    await boot(bench);
    const done = bench.lifecycle.shutdown({ reason: 'deploy' });
    await bench.clock.advance(60_000);
    await done;
    expect(bench.journal).toEqual([
      '0 phase draining',
      '0 begin drain',
      '100 stop intake',
      '100 intake: 100 ms, 2 -> 2',
      '700 drained',
      '700 drain broker',
      '750 drained broker',
      '750 drain: 650 ms, 2 -> 0',
      '750 phase stopping',
      '750 hooks: 0 ms, 0 -> 0',
      '750 stop broker',
      '770 stoped broker',
      '770 components: 20 ms, 0 -> 0',
      '770 phase stopped',
      '770 flush',
      '770 flush: 0 ms, 0 -> 0',
    ]);
    expect(bench.clock.pendingTimers).toBe(0);
  });

  it('keeps serving first where a load balancer has to notice, and not after Ctrl+C', async () => {
    const waits = async (options: object, environment: object, reason: string): Promise<boolean> => {
      const bench = await ready(options, environment);
      await boot(bench);
      void bench.lifecycle.shutdown({ reason });
      await bench.clock.advance(60_000);
      return bench.journal.includes('5000 pre-stop: 5000 ms, 0 -> 0');
    };
    expect(await waits({}, { inKubernetes: true }, 'SIGTERM')).toBe(true);
    expect(await waits({}, { inKubernetes: true }, 'SIGINT')).toBe(false);
    expect(await waits({}, { inKubernetes: false }, 'SIGTERM')).toBe(false);
    expect(await waits({ preStop: 'always' }, { inKubernetes: false }, 'SIGTERM')).toBe(true);
    expect(await waits({ preStop: 'never' }, { inKubernetes: true }, 'SIGTERM')).toBe(false);
  });

  it('drains a component after those that depend on it, whose work may still call it', async () => {
    const bench = await ready();
    bench.lifecycle.register(bench.component('resilience', { drain: 5 }), 'mesh');
    bench.lifecycle.register(bench.component('broker', { drain: 50 }, { dependsOn: ['resilience'] }), 'mesh');
    bench.lifecycle.register(bench.component('consumer', { drain: 100 }, { dependsOn: ['broker'] }));
    await boot(bench);
    void bench.lifecycle.shutdown({ reason: 'deploy' });
    await bench.clock.advance(60_000);
    expect(bench.journal.filter((line) => line.includes('drain '))).toEqual([
      '0 drain consumer',
      '100 drain broker',
      '150 drain resilience',
    ]);
  });

  it("drains and stops the application's components before the mesh's parts, which any of them may call", async () => {
    const bench = await ready();
    bench.lifecycle.register(bench.component('broker', { drain: 50, stop: 10 }), 'mesh');
    bench.lifecycle.register(bench.component('consumer', { drain: 100, stop: 20 }));
    await boot(bench);
    void bench.lifecycle.shutdown({ reason: 'deploy' });
    await bench.clock.advance(60_000);
    expect(bench.journal.filter((line) => /(drain|stop) (consumer|broker)/.test(line))).toEqual([
      '0 drain consumer',
      '100 drain broker',
      '150 stop consumer',
      '170 stop broker',
    ]);
  });

  it("leaves time to drain the mesh's parts when a component of the application hangs in its own", async () => {
    const bench = await ready();
    bench.lifecycle.register(bench.component('broker', { drain: 50 }), 'mesh');
    bench.lifecycle.register(bench.component('consumer', { drain: 'hang-deaf' }));
    await boot(bench);
    void bench.lifecycle.shutdown({ reason: 'deploy' });
    await bench.clock.advance(60_000);
    expect(bench.journal).toContain('10000 drain broker');
    expect(bench.journal).toContain('10050 drained broker');
    expect(bench.journal).toContain('10050 drain: 10050 ms, 0 -> 0, consumer');
  });

  it('aborts what is still running when the drain is over, and says whose it was', async () => {
    const bench = await ready();
    bench.lifecycle.addDrainable(new Traffic(bench, [Infinity]));
    await boot(bench);
    bench.lifecycle.abortSignal.addEventListener('abort', () => bench.note('signal'));
    void bench.lifecycle.shutdown({ reason: 'deploy' });
    await bench.clock.advance(60_000);
    expect(bench.journal).toEqual(
      expect.arrayContaining([
        '10100 drain: 10000 ms, 1 -> 1, http',
        '10100 signal',
        '11100 abort',
        '11100 abort: 1000 ms, 1 -> 0, http',
      ]),
    );
    expect(bench.lifecycle.phase).toBe('stopped');
  });

  it.each([
    [
      'the pre-stop delay and the drain short at a second signal',
      { preStop: 'always' },
      2_000,
      ['2000 pre-stop: 2000 ms, 1 -> 1', '2000 intake: 0 ms, 1 -> 1', '3000 drain: 1000 ms, 1 -> 1, http'],
    ],
    ['a drain that already runs to what a hurry leaves', {}, 4_000, ['5000 drain: 4900 ms, 1 -> 1, http']],
  ])('cuts %s', async (_, options, hurriedAfterMs, told) => {
    const bench = await ready(options);
    bench.lifecycle.addDrainable(new Traffic(bench, [Infinity]));
    await boot(bench);
    void bench.lifecycle.shutdown({ reason: 'SIGTERM' });
    await bench.clock.advance(hurriedAfterMs);
    bench.lifecycle.hurry();
    await bench.clock.advance(60_000);
    expect(bench.journal).toEqual(expect.arrayContaining(told));
  });

  it('runs once, however often and through whichever door it is asked', async () => {
    const bench = await ready();
    bench.lifecycle.register(bench.component('broker', { drain: 10 }), 'mesh');
    await boot(bench);
    const doors = [
      bench.lifecycle.shutdown({ reason: 'a' }),
      bench.lifecycle.shutdown({ reason: 'b' }),
      bench.lifecycle.onEdgeDestroy(),
    ];
    await bench.clock.advance(60_000);
    await Promise.all(doors);
    await bench.lifecycle.onEdgeDestroy();
    await bench.lifecycle.onMeshShutdown();
    expect(bench.journal.filter((line) => line.endsWith('drain broker'))).toHaveLength(1);
    expect(bench.journal.filter((line) => line.endsWith('stop broker'))).toHaveLength(1);
  });

  it.each<[string, 'drain' | 'stop', Behaviour]>([
    ['a drain that throws', 'drain', new Error('no')],
    ['a drain that hangs', 'drain', 'hang'],
    ['a drain that hangs and is deaf', 'drain', 'hang-deaf'],
    ['a stop that throws', 'stop', new Error('no')],
    ['a stop that hangs', 'stop', 'hang'],
    ['a stop that hangs and is deaf', 'stop', 'hang-deaf'],
  ])('survives %s within the budget and names the component', async (_, step, behaviour) => {
    const bench = await ready();
    const unfinished: string[] = [];
    bench.events.on('lifecycle.shutdown-phase', (event) => unfinished.push(...event.unfinished));
    bench.events.on('lifecycle.overrun', () => unfinished.push('overrun'));
    bench.lifecycle.register(bench.component('broker', { [step]: behaviour }), 'mesh');
    bench.lifecycle.register(bench.component('cache'), 'mesh');
    await boot(bench);
    void bench.lifecycle.shutdown({ reason: 'deploy' });
    await bench.clock.advance(60_000);
    expect(bench.lifecycle.phase).toBe('stopped');
    expect(unfinished).toEqual(['broker']);
    expect(bench.journal.some((line) => line.endsWith('stoped cache'))).toBe(true);
    expect(bench.clock.pendingTimers).toBe(0);
  });

  it('flushes for no longer than it may', async () => {
    const bench = await ready();
    bench.lifecycle.addFlush(() => new Promise(() => undefined));
    await boot(bench);
    void bench.lifecycle.shutdown({ reason: 'deploy' });
    await bench.clock.advance(60_000);
    expect(bench.journal.at(-1)).toBe('0 flush: 500 ms, 0 -> 0, logs'.replace('0', '500'));
  });

  it("says who hangs when the budget is over: the application's own hook, here", async () => {
    const bench = await ready({ totalMs: 25_000 });
    bench.noteEvents('lifecycle.overrun', ({ phase, hanging }) => `overrun in ${phase}: ${hanging.join()}`);
    const overruns: number[] = [];
    bench.lifecycle.onOverrun(({ totalMs }) => overruns.push(totalMs));
    bench.lifecycle.register(bench.component('broker', { drain: 10 }), 'mesh');
    await boot(bench);
    void bench.lifecycle.onEdgeDestroy();
    await bench.clock.advance(60_000);
    expect(bench.journal).toContain("25000 overrun in hooks: a shutdown hook of the application's own code");
    expect(overruns).toEqual([25_000]);
  });

  it('gives up on work that ignores the end of its time', async () => {
    const bench = await ready();
    bench.lifecycle.addDrainable({ name: 'grpc', inFlight: 3, drained: () => new Promise(() => undefined) });
    await boot(bench);
    void bench.lifecycle.shutdown({ reason: 'deploy' });
    await bench.clock.advance(60_000);
    expect(bench.journal).toContain('10100 drain: 10000 ms, 3 -> 3, grpc');
    expect(bench.lifecycle.phase).toBe('stopped');
  });

  it('says that the start hangs when a hook of it outlasts the budget', async () => {
    const bench = await ready();
    bench.noteEvents('lifecycle.overrun', ({ phase, hanging }) => `overrun in ${phase}: ${hanging.join()}`);
    await bench.lifecycle.onMeshInit();
    void bench.lifecycle.shutdown({ reason: 'SIGTERM' });
    await bench.clock.advance(60_000);
    expect(bench.journal).toContain("25000 overrun in start: a start hook of the application's own code");
  });
});

describe('lifecycleSchema', () => {
  it('parses {} to the defaults, whose phases fit the total', () => {
    expect(lifecycleSchema.parse({}).shutdown).toMatchObject({ totalMs: 25_000, preStopMs: 5_000, drainMs: 10_000 });
  });

  it('refuses phases that do not fit the total, with the sum', () => {
    const parsed = lifecycleSchema.safeParse({ shutdown: { drainMs: 20_000 } });
    expect(parsed.error?.issues).toMatchObject([
      { path: ['shutdown', 'totalMs'], message: expect.stringContaining('33600 ms') as string },
    ]);
    expect(lifecycleSchema.safeParse({ shutdown: { drainMs: 15_000, preStop: 'never' } }).success).toBe(true);
  });

  it('refuses a first retry wait above the longest', () => {
    expect(lifecycleSchema.safeParse({ start: { retry: { initialMs: 40_000 } } }).success).toBe(false);
  });
});
