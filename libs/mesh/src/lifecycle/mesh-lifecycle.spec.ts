import { describe, expect, it } from 'vitest';
import { LifecycleBench } from '../../../../test/e2e/lifecycle/lifecycle.fixture.js';

function watched(...args: ConstructorParameters<typeof LifecycleBench>): LifecycleBench {
  const bench = new LifecycleBench(...args);
  bench.noteEvents('lifecycle.phase', ({ phase, reason }) => `phase ${phase}${reason ? ` (${reason})` : ''}`);
  bench.noteEvents('lifecycle.warning', ({ message }) => `warning ${message}`);
  return bench;
}

/** An application whose close runs the two hooks that matter, with a user's hook between them. */
function attach(bench: LifecycleBench): void {
  bench.lifecycle.attach({
    close: async () => {
      await bench.lifecycle.onEdgeDestroy();
      bench.note('hook of the user');
      await bench.lifecycle.onMeshShutdown();
    },
  });
}

async function outcome(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => 'resolved',
    (error: { code?: string }) => error.code ?? error,
  );
}

describe('MeshLifecycle', () => {
  it('goes from starting to ready to stopped, each with the time that the phase before took', async () => {
    const bench = new LifecycleBench();
    const phases: unknown[] = [];
    bench.events.on('lifecycle.phase', ({ phase, durationMs }) => phases.push([phase, durationMs]));
    bench.lifecycle.register(bench.component('broker', { start: 30, stop: 5 }), 'mesh');
    const init = bench.lifecycle.onMeshInit();
    await bench.clock.advance(30);
    await init;
    bench.lifecycle.onEdgeInit();
    await bench.lifecycle.onMeshBootstrap();
    await bench.lifecycle.onEdgeBootstrap();
    await bench.clock.advance(1_000);
    void bench.lifecycle.shutdown({ reason: 'deploy' });
    await bench.clock.advance(1_000);
    expect(phases).toEqual([
      ['ready', 30],
      ['draining', 1_000],
      ['stopping', 0],
      ['stopped', 5],
    ]);
  });

  it('fails the hook and the phase when a required component does not start', async () => {
    const bench = watched();
    bench.lifecycle.register(bench.component('broker', { start: new Error('refused') }), 'mesh');
    expect(await outcome(bench.lifecycle.onMeshInit())).toBe('MESH_COMPONENT_START');
    expect(bench.journal).toContain('0 phase failed');
    await bench.lifecycle.onEdgeDestroy();
    await bench.lifecycle.onMeshShutdown();
    expect(bench.lifecycle.phase).toBe('failed');
    expect(bench.clock.pendingTimers).toBe(0);
  });

  it('fails when what the application declares is wrong', async () => {
    const bench = watched();
    bench.declared.push(bench.component('ledger', {}, { dependsOn: ['nobody'] }));
    expect(await outcome(bench.lifecycle.onMeshInit())).toBe('MESH_COMPONENT_GRAPH');
    expect(bench.lifecycle.phase).toBe('failed');
  });

  it('starts what the application declares after the hooks of its code', async () => {
    const bench = new LifecycleBench();
    bench.declared.push(bench.component('ledger', {}, { dependsOn: ['broker'] }));
    bench.lifecycle.register(bench.component('broker'), 'mesh');
    await bench.lifecycle.onMeshInit();
    bench.note('hook of the user');
    await bench.lifecycle.onMeshBootstrap();
    expect(bench.journal.map((line) => line.slice(2))).toEqual([
      'start broker',
      'started broker',
      'hook of the user',
      'start ledger',
      'started ledger',
    ]);
  });

  it('refuses hooks in another order than it stands on', async () => {
    const early = new LifecycleBench();
    expect(() => early.lifecycle.onEdgeInit()).toThrow('ran before that of MeshModule');
    const late = new LifecycleBench();
    await late.lifecycle.onMeshInit();
    expect(await outcome(late.lifecycle.onEdgeBootstrap())).toBe('MESH_CONFIG_INVALID');
  });

  it('starts once when Nest runs its hooks twice', async () => {
    const bench = new LifecycleBench();
    bench.lifecycle.register(bench.component('broker'), 'mesh');
    for (let round = 0; round < 2; round++) {
      await bench.lifecycle.onMeshInit();
      bench.lifecycle.onEdgeInit();
      await bench.lifecycle.onMeshBootstrap();
      await bench.lifecycle.onEdgeBootstrap();
    }
    expect(bench.journal).toEqual(['0 start broker', '0 started broker']);
  });

  it('warns at ready when a signal would end the process without a drain', async () => {
    const boot = async (bench: LifecycleBench) => {
      await bench.lifecycle.onMeshInit();
      await bench.lifecycle.onMeshBootstrap();
      await bench.lifecycle.onEdgeBootstrap();
      return bench.journal.filter((line) => line.includes('warning')).length;
    };
    expect(await boot(watched({}, { terminationListeners: 0 }))).toBe(1);
    expect(await boot(watched({}, { terminationListeners: 1 }))).toBe(0);
    const attached = watched({}, { terminationListeners: 0 });
    attach(attached);
    expect(await boot(attached)).toBe(0);
  });

  it.each(['shutdown', 'hooks'] as const)(
    'stops outside the call context of the request that asked for it (%s)',
    async (how) => {
      const bench = new LifecycleBench();
      const seen: unknown[] = [];
      const look = () => void seen.push(bench.contexts.current());
      bench.lifecycle.register({ name: 'ledger', start: () => undefined, drain: look, stop: look });
      await bench.lifecycle.onMeshInit();
      await bench.lifecycle.onMeshBootstrap();
      await bench.lifecycle.onEdgeBootstrap();
      const stop = async () => {
        if (how === 'shutdown') return bench.lifecycle.shutdown({ reason: 'request' });
        await bench.lifecycle.onEdgeDestroy();
        await bench.lifecycle.onMeshShutdown();
      };
      const stopped = bench.contexts.run({ correlationId: 'operator-1', deadlineAt: 1 }, stop);
      await bench.clock.advance(1_000);
      await stopped;
      expect(seen).toEqual([undefined, undefined]);
    },
  );

  it('closes the whole application when it can reach it', async () => {
    const bench = watched();
    attach(bench);
    await bench.lifecycle.onMeshInit();
    await bench.lifecycle.onMeshBootstrap();
    await bench.lifecycle.onEdgeBootstrap();
    void bench.lifecycle.shutdown({ reason: 'SIGTERM' });
    await bench.clock.advance(1_000);
    expect(bench.journal).toEqual([
      '0 phase ready',
      '0 phase draining (SIGTERM)',
      '0 hook of the user',
      '0 phase stopping (SIGTERM)',
      '0 phase stopped (SIGTERM)',
    ]);
  });
});

describe('MeshLifecycle asked to stop during the start', () => {
  it('takes the start of the mesh back and leaves hooks that never ran alone', async () => {
    const bench = watched();
    attach(bench);
    bench.lifecycle.register(bench.component('cache'), 'mesh');
    bench.lifecycle.register(bench.component('broker', { start: 'hang' }, { dependsOn: ['cache'] }), 'mesh');
    let settled = false;
    void bench.lifecycle.onMeshInit().finally(() => (settled = true));
    await bench.clock.advance(10);
    void bench.lifecycle.shutdown({ reason: 'SIGTERM', endsProcess: true });
    await bench.clock.advance(1_000);
    expect(bench.journal.slice(2)).toEqual([
      '0 start broker',
      '10 stop broker',
      '10 stoped broker',
      '10 stop cache',
      '10 stoped cache',
      '10 phase draining (SIGTERM)',
      '10 phase stopping (SIGTERM)',
      '10 phase stopped (SIGTERM)',
    ]);
    expect(settled).toBe(false);
  });

  it('lets hooks of the user that run finish, then closes the application', async () => {
    const bench = watched();
    attach(bench);
    bench.lifecycle.register(bench.component('broker'), 'mesh');
    await bench.lifecycle.onMeshInit();
    void bench.lifecycle.shutdown({ reason: 'SIGTERM', endsProcess: true });
    await bench.clock.advance(500);
    expect(bench.journal.join()).not.toContain('hook of the user');
    void bench.lifecycle.onMeshBootstrap();
    await bench.clock.advance(500);
    expect(bench.journal.slice(2)).toEqual([
      '500 phase draining (SIGTERM)',
      '500 hook of the user',
      '500 phase stopping (SIGTERM)',
      '500 stop broker',
      '500 stoped broker',
      '500 phase stopped (SIGTERM)',
    ]);
  });

  it('does not become ready when it was told to stop during the last hooks', async () => {
    const bench = watched();
    attach(bench);
    await bench.lifecycle.onMeshInit();
    await bench.lifecycle.onMeshBootstrap();
    void bench.lifecycle.shutdown({ reason: 'SIGTERM', endsProcess: true });
    void bench.lifecycle.onEdgeBootstrap();
    await bench.clock.advance(500);
    expect(bench.journal.join()).not.toContain('phase ready');
    expect(bench.lifecycle.phase).toBe('stopped');
  });

  it('starts nothing when it was told to stop before the first hook', async () => {
    const bench = watched();
    attach(bench);
    bench.lifecycle.register(bench.component('broker'), 'mesh');
    const stopped = bench.lifecycle.shutdown({ reason: 'SIGTERM', endsProcess: true });
    void bench.lifecycle.onMeshInit();
    await bench.clock.advance(500);
    await stopped;
    expect(bench.journal.join()).not.toContain('start broker');
  });

  it('rejects the hook when nobody ends the process: Nest then fails the boot', async () => {
    const bench = watched();
    bench.lifecycle.register(bench.component('broker', { start: 'hang' }), 'mesh');
    const init = outcome(bench.lifecycle.onMeshInit());
    await bench.clock.advance(10);
    const stopped = bench.lifecycle.shutdown({ reason: 'test' });
    await bench.clock.advance(500);
    await stopped;
    expect(await init).toBe('MESH_START_ABORTED');
  });

  it('calls the start off when Nest closes the application meanwhile', async () => {
    const bench = watched();
    bench.lifecycle.register(bench.component('broker', { start: 'hang' }), 'mesh');
    const init = outcome(bench.lifecycle.onMeshInit());
    await bench.clock.advance(10);
    void bench.lifecycle.onEdgeDestroy().then(() => bench.lifecycle.onMeshShutdown());
    await bench.clock.advance(500);
    expect(await init).toBe('MESH_START_ABORTED');
    expect(bench.clock.pendingTimers).toBe(0);
  });
});
