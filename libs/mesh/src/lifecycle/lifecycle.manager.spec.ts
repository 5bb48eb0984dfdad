import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MeshConfigError } from '../core/mesh.errors.js';
import { Budget } from './budget.js';
import { ComponentStartError, StartAbortedError } from './lifecycle.errors.js';
import { LifecycleBench, type Behaviour } from '../../../../test/e2e/lifecycle/lifecycle.fixture.js';

async function settle<T>(bench: LifecycleBench, work: Promise<T>, ms = 120_000): Promise<PromiseSettledResult<T>> {
  const result = Promise.allSettled([work]);
  await bench.clock.advance(ms);
  return (await result)[0];
}

async function stopAll(bench: LifecycleBench): Promise<readonly string[]> {
  const stopping = bench.manager.stop(new Budget(bench.clock, 25_000));
  await bench.clock.advance(60_000);
  return stopping;
}

describe('LifecycleManager start', () => {
  it('starts a component as soon as its own dependencies are up, and others in parallel', async () => {
    const bench = new LifecycleBench();
    bench.manager.register(bench.component('api', { start: 10 }, { dependsOn: ['cache', 'broker'] }), 'mesh');
    bench.manager.register(bench.component('cache', { start: 100 }), 'mesh');
    bench.manager.register(bench.component('broker', { start: 300 }), 'mesh');
    bench.manager.register(bench.component('warmup', { start: 50 }, { dependsOn: ['cache'] }), 'mesh');
    await settle(bench, bench.manager.start('mesh'));
    expect(bench.journal).toEqual([
      '0 start cache',
      '0 start broker',
      '100 started cache',
      '100 start warmup',
      '150 started warmup',
      '300 started broker',
      '300 start api',
      '310 started api',
    ]);
    expect(bench.manager.report().at(-2)).toMatchObject({
      name: 'api',
      startMs: 10,
      waitedMs: 300,
      waitedFor: 'broker',
    });
  });

  it('starts and stops any graph in order and leaves no timer behind', async () => {
    const graphs = fc.array(
      fc.record({ on: fc.array(fc.nat({ max: 9 })), ms: fc.nat({ max: 50 }), stopMs: fc.nat({ max: 50 }) }),
      {
        minLength: 1,
        maxLength: 10,
      },
    );
    await fc.assert(
      fc.asyncProperty(graphs, async (specs) => {
        const bench = new LifecycleBench();
        const dependsOn = specs.map(({ on }, index) => [
          ...new Set(on.filter((to) => to < index).map((to) => `c${to}`)),
        ]);
        for (const [index, { ms, stopMs }] of specs.entries()) {
          const component = bench.component(`c${index}`, { start: ms, stop: stopMs }, { dependsOn: dependsOn[index]! });
          bench.manager.register(component, 'mesh');
        }
        await settle(bench, bench.manager.start('mesh'), 1_000);
        await stopAll(bench);
        const at = (what: string) => bench.journal.findIndex((line) => line.endsWith(` ${what}`));
        for (const [index, names] of dependsOn.entries()) {
          for (const dependency of names) {
            expect(at(`started ${dependency}`)).toBeLessThan(at(`start c${index}`));
            expect(at(`stoped c${index}`)).toBeLessThan(at(`stop ${dependency}`));
          }
        }
        expect(bench.clock.pendingTimers).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it('starts the components of the application in a wave of their own', async () => {
    const bench = new LifecycleBench();
    bench.manager.register(bench.component('ledger', {}, { dependsOn: ['broker'] }));
    bench.manager.register(bench.component('broker'), 'mesh');
    await settle(bench, bench.manager.start('mesh'), 10);
    expect(bench.journal).toEqual(['0 start broker', '0 started broker']);
    await settle(bench, bench.manager.start('application'), 10);
    expect(bench.journal.at(-1)).toBe('10 started ledger');
  });

  it('starts once, however often it is asked', async () => {
    const bench = new LifecycleBench();
    bench.manager.register(bench.component('broker'), 'mesh');
    await settle(bench, Promise.all([bench.manager.start('mesh'), bench.manager.start('mesh')]));
    expect(bench.journal).toEqual(['0 start broker', '0 started broker']);
  });

  it('refuses a component that comes after its wave has begun', async () => {
    const bench = new LifecycleBench();
    await settle(bench, bench.manager.start('mesh'));
    expect(() => bench.manager.register(bench.component('late'), 'mesh')).toThrow(MeshConfigError);
    expect(() => bench.manager.register(bench.component('in-time'))).not.toThrow();
  });

  it('checks the whole graph before anything starts', async () => {
    const bench = new LifecycleBench();
    bench.manager.register(bench.component('broker'), 'mesh');
    bench.manager.register(bench.component('ledger', {}, { dependsOn: ['nobody'] }));
    expect(await settle(bench, bench.manager.start('mesh'))).toMatchObject({
      reason: { code: 'MESH_COMPONENT_GRAPH' },
    });
    expect(bench.journal).toEqual([]);
  });
});

describe('LifecycleManager with a required component that fails', () => {
  const failures: readonly (readonly [string, Behaviour, number, string])[] = [
    ['throws', new Error('no route to 10.0.0.7'), 0, 'no route to 10.0.0.7'],
    ['hangs until its signal aborts', 'hang', 200, 'was not done within its 200 ms'],
    ['hangs and ignores its signal', 'hang-deaf', 200, 'was not done within its 200 ms'],
  ];

  it.each(failures)(
    '%s: aborts its siblings, stops what had started in reverse, and says who, when and why',
    async (_, start, elapsedMs, cause) => {
      const bench = new LifecycleBench();
      bench.manager.register(bench.component('metrics'), 'mesh');
      bench.manager.register(bench.component('cache', {}, { dependsOn: ['metrics'] }), 'mesh');
      bench.manager.register(bench.component('sibling', { start: 'hang' }), 'mesh');
      bench.manager.register(
        bench.component('broker', { start }, { dependsOn: ['cache'], timeouts: { startMs: 200 } }),
        'mesh',
      );
      bench.manager.register(bench.component('never', {}, { dependsOn: ['broker'] }), 'mesh');
      const result = await settle(bench, bench.manager.start('mesh'));
      const { reason } = result as PromiseRejectedResult;
      expect(reason).toBeInstanceOf(ComponentStartError);
      expect((reason as Error).message).toContain(`Component "broker" failed in phase "start" after ${elapsedMs} ms: `);
      expect((reason as Error).message).toContain(cause);
      expect((reason as Error).cause).toBeInstanceOf(Error);
      const stops = bench.journal.filter((line) => line.includes(' stop '));
      expect(stops.map((line) => line.split(' ')[2])).toEqual(['sibling', 'broker', 'cache', 'metrics']);
      expect(bench.journal.join()).not.toContain('never');
      expect(bench.clock.pendingTimers).toBe(0);
      expect(bench.manager.report().map(({ state }) => state)).not.toContain('running');
    },
  );

  it('stops the mesh too when a component of the application fails', async () => {
    const bench = new LifecycleBench();
    bench.manager.register(bench.component('broker'), 'mesh');
    bench.manager.register(bench.component('ledger', { start: new Error('closed books') }));
    await settle(bench, bench.manager.start('mesh'), 10);
    expect((await settle(bench, bench.manager.start('application'))).status).toBe('rejected');
    expect(bench.journal).toContain('10 stoped broker');
  });

  it('stops the mesh too when the graph turns out wrong between the waves', async () => {
    const bench = new LifecycleBench();
    bench.manager.register(bench.component('broker'), 'mesh');
    await settle(bench, bench.manager.start('mesh'), 10);
    bench.manager.register(bench.component('ledger', {}, { dependsOn: ['nobody'] }));
    expect((await settle(bench, bench.manager.start('application'))).status).toBe('rejected');
    expect(bench.journal).toContain('10 stoped broker');
  });

  it('gives up when the start as a whole takes too long, naming who is not up', async () => {
    const bench = new LifecycleBench({ start: { totalMs: 500 } });
    bench.manager.register(bench.component('quick'), 'mesh');
    bench.manager.register(bench.component('slow', { start: 400 }), 'mesh');
    bench.manager.register(bench.component('slower', { start: 400 }, { dependsOn: ['slow'] }), 'mesh');
    expect(await settle(bench, bench.manager.start('mesh'))).toMatchObject({
      reason: { message: expect.stringContaining('Component "slower" failed in phase "start" after 500 ms') as string },
    });
    expect(bench.clock.pendingTimers).toBe(0);
  });

  it('takes the start back when it is called off', async () => {
    const bench = new LifecycleBench();
    bench.manager.register(bench.component('cache'), 'mesh');
    bench.manager.register(bench.component('broker', { start: 'hang' }), 'mesh');
    const started = bench.manager.start('mesh');
    started.catch(() => undefined);
    await bench.clock.advance(5);
    const reason = new StartAbortedError('SIGTERM');
    bench.manager.abortStart(reason);
    expect(await settle(bench, started)).toEqual({ status: 'rejected', reason });
    expect(bench.journal).toContain('5 stop cache');
    expect(bench.journal).toContain('5 stop broker');
  });
});

describe('LifecycleManager with components that behave at random', () => {
  const behaviour = fc.oneof(
    { weight: 6, arbitrary: fc.nat({ max: 300 }) },
    { weight: 1, arbitrary: fc.constantFrom<Behaviour>('hang', 'hang-deaf', new Error('random')) },
  );
  const specs = fc.array(
    fc.record({ on: fc.array(fc.nat({ max: 9 })), start: behaviour, stop: behaviour, optional: fc.boolean() }),
    { minLength: 1, maxLength: 10 },
  );

  it('starts all that is required or stops all that had begun, in order, and leaves nothing behind', async () => {
    await fc.assert(
      fc.asyncProperty(specs, async (graph) => {
        const bench = new LifecycleBench({ start: { componentMs: 200, totalMs: 1_000 } });
        const dependsOn = graph.map(({ on }, index) => [
          ...new Set(on.filter((to) => to < index).map((to) => `c${to}`)),
        ]);
        for (const [index, { start, stop, optional }] of graph.entries()) {
          const declared = { dependsOn: dependsOn[index]!, criticality: optional ? 'optional' : 'required' } as const;
          bench.manager.register(bench.component(`c${index}`, { start, stop }, declared), 'mesh');
        }
        const { status } = await settle(bench, bench.manager.start('mesh'), 30_000);
        const states = bench.manager.report().map(({ state, criticality }) => [criticality, state]);
        if (status === 'fulfilled')
          for (const [criticality, state] of states)
            expect(criticality === 'optional' || state === 'running').toBe(true);
        await stopAll(bench);
        const at = (what: string) => bench.journal.findLastIndex((line) => line.endsWith(` ${what}`));
        for (const [index, names] of dependsOn.entries()) {
          if (at(`start c${index}`) < 0) continue;
          expect(at(`stop c${index}`)).toBeGreaterThan(at(`start c${index}`));
          for (const dependency of names) expect(at(`stop c${index}`)).toBeLessThan(at(`stop ${dependency}`));
        }
        const after: unknown[] = bench.manager.report().map(({ state }) => state);
        for (const state of ['running', 'starting', 'stopping', 'degraded']) expect(after).not.toContain(state);
        expect(bench.clock.pendingTimers).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});

describe('LifecycleManager with an optional component that fails', () => {
  const optional = { criticality: 'optional' as const };

  it('starts without it, and retries with growing waits until it is up', async () => {
    const bench = new LifecycleBench();
    let failures = 3;
    const starts: number[] = [];
    bench.manager.register(
      {
        name: 'geo',
        ...optional,
        start: () => {
          starts.push(bench.clock.monotonic());
          if (failures-- > 0) throw new Error('not yet');
        },
      },
      'mesh',
    );
    await settle(bench, bench.manager.start('mesh'), 1);
    expect(bench.manager.report()[0]).toMatchObject({ state: 'degraded', reason: 'not yet.' });
    await bench.clock.advance(60_000);
    // 1 s, 2 s, 4 s, each times 0.75: half of it fixed and half of it random, here always in the middle.
    expect(starts).toEqual([0, 750, 2_250, 5_250]);
    expect(bench.manager.report()[0]).toMatchObject({ state: 'running', attempts: 4 });
    expect(bench.clock.pendingTimers).toBe(0);
  });

  it('frees what the failed start left half open before it tries again', async () => {
    const bench = new LifecycleBench();
    bench.manager.register(bench.component('geo', { start: new Error('no') }, optional), 'mesh');
    await settle(bench, bench.manager.start('mesh'), 1_000);
    expect(bench.journal).toEqual([
      '0 start geo',
      '0 stop geo',
      '0 stoped geo',
      '750 start geo',
      '750 stop geo',
      '750 stoped geo',
    ]);
    await stopAll(bench);
  });

  it('never runs two starts of one component at once', async () => {
    const bench = new LifecycleBench();
    let running = 0;
    let most = 0;
    bench.manager.register(
      {
        name: 'deaf',
        ...optional,
        timeouts: { startMs: 100 },
        start: async () => {
          most = Math.max(most, ++running);
          await bench.clock.sleep(5_000);
          running--;
        },
      },
      'mesh',
    );
    await settle(bench, bench.manager.start('mesh'), 60_000);
    expect(most).toBe(1);
    await stopAll(bench);
  });

  it('starts what depends on it softly, and holds back what depends on it hard until it is up', async () => {
    const bench = new LifecycleBench();
    let up = false;
    bench.manager.register(
      { name: 'geo', ...optional, start: () => up || Promise.reject(new Error('no')) } as never,
      'mesh',
    );
    bench.manager.register(bench.component('soft', {}, { softDependsOn: ['geo'] }), 'mesh');
    bench.manager.register(bench.component('hard', {}, { dependsOn: ['geo'], ...optional }), 'mesh');
    await settle(bench, bench.manager.start('mesh'), 1);
    const states = () => Object.fromEntries(bench.manager.report().map(({ name, state }) => [name, state]));
    expect(states()).toEqual({ geo: 'degraded', soft: 'running', hard: 'degraded' });
    expect(bench.manager.report().find(({ name }) => name === 'hard')?.reason).toContain('It depends on "geo"');
    up = true;
    await bench.clock.advance(60_000);
    expect(states()).toEqual({ geo: 'running', soft: 'running', hard: 'running' });
  });

  it('fails the start when a required component depends on it hard', async () => {
    const bench = new LifecycleBench();
    bench.manager.register(bench.component('geo', { start: new Error('no') }, optional), 'mesh');
    bench.manager.register(bench.component('shop', {}, { dependsOn: ['geo'] }), 'mesh');
    expect(await settle(bench, bench.manager.start('mesh'))).toMatchObject({
      reason: { message: expect.stringMatching(/Component "shop" .* depends on "geo", which is not up/) as string },
    });
  });

  it('stops it only when a retry that runs has given up', async () => {
    const bench = new LifecycleBench();
    let attempts = 0;
    const start = async (signal: AbortSignal): Promise<void> => {
      if (++attempts === 1) throw new Error('not yet');
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      await bench.clock.sleep(50);
      bench.note('gave up');
    };
    bench.manager.register(bench.component('geo', {}, { ...optional, start: ({ signal }) => start(signal) }), 'mesh');
    await settle(bench, bench.manager.start('mesh'), 1_000);
    await stopAll(bench);
    expect(bench.journal.slice(-3)).toEqual(['1050 gave up', '1050 stop geo', '1050 stoped geo']);
  });

  it('ends the retries with the stop, also one that hangs', async () => {
    const bench = new LifecycleBench();
    bench.manager.register(
      bench.component('geo', { start: 'hang-deaf' }, { ...optional, timeouts: { startMs: 100 } }),
      'mesh',
    );
    await settle(bench, bench.manager.start('mesh'), 5_000);
    await stopAll(bench);
    expect(bench.manager.report()[0]?.state).toBe('stopped');
    expect(bench.clock.pendingTimers).toBe(0);
  });
});

describe('LifecycleManager stop', () => {
  it.each([
    ['throws', new Error('busy'), 0],
    ['hangs', 'hang', 5_000],
    ['hangs and ignores its signal', 'hang-deaf', 5_000],
  ] as const)('goes on with the others when one %s, and says which', async (_, stop, untilMs) => {
    const bench = new LifecycleBench();
    bench.manager.register(bench.component('metrics'), 'mesh');
    bench.manager.register(bench.component('broker', { stop }, { dependsOn: ['metrics'] }), 'mesh');
    await settle(bench, bench.manager.start('mesh'), 0);
    expect(await stopAll(bench)).toEqual(['broker']);
    expect(bench.journal.at(-2)).toBe(`${untilMs} stop metrics`);
  });

  it('clips each stop to what is left of the budget', async () => {
    const bench = new LifecycleBench();
    for (const [index, name] of ['a', 'b', 'c'].entries())
      bench.manager.register(
        bench.component(name, { stop: 'hang-deaf' }, { dependsOn: index ? ['a', 'b'].slice(0, index) : [] }),
        'mesh',
      );
    await settle(bench, bench.manager.start('mesh'), 0);
    const stopping = bench.manager.stop(new Budget(bench.clock, 8_000));
    await bench.clock.advance(8_000);
    expect(await stopping).toEqual(['a', 'b', 'c']);
    expect(bench.journal.filter((line) => line.includes(' stop '))).toEqual(['0 stop c', '5000 stop b', '8000 stop a']);
  });

  it('stops nothing that never started', async () => {
    const bench = new LifecycleBench();
    bench.manager.register(bench.component('broker'), 'mesh');
    expect(await stopAll(bench)).toEqual([]);
    expect(bench.journal).toEqual([]);
  });
});

describe('LifecycleManager report', () => {
  it('draws the graph for Graphviz', async () => {
    const bench = new LifecycleBench();
    bench.manager.register(bench.component('cache', { start: 20 }), 'mesh');
    bench.manager.register(bench.component('say "hi"', {}, { softDependsOn: ['cache'] }), 'mesh');
    await settle(bench, bench.manager.start('mesh'));
    expect(bench.manager.toDot()).toContain(String.raw`"cache" [label="cache\n20 ms", fillcolor=palegreen];`);
    expect(bench.manager.toDot()).toContain(String.raw`"say \"hi\"" -> "cache" [style=dashed];`);
  });
});
