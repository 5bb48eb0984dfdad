import { describe, expect, it } from 'vitest';
import { LifecycleBench } from '../../../../test/e2e/lifecycle/lifecycle.fixture.js';
import type { ProcessPort } from './process.port.js';
import { SignalShutdown, type SignalShutdownOptions } from './signal-shutdown.js';

class RecordedProcess implements ProcessPort {
  readonly ends: string[] = [];
  readonly complaints: string[] = [];
  readonly idleListeners = new Set<() => void>();
  readonly #listeners = new Map<string, Set<() => void>>();

  on(signal: NodeJS.Signals, listener: () => void): void {
    this.#listeners.set(signal, (this.#listeners.get(signal) ?? new Set()).add(listener));
  }

  off(signal: NodeJS.Signals, listener: () => void): void {
    this.#listeners.get(signal)?.delete(listener);
  }

  finish(signal: NodeJS.Signals, exitAs: 'signal' | 'zero'): void {
    this.ends.push(exitAs === 'zero' ? 'exit 0' : signal);
  }

  onIdle(listener: () => void): () => void {
    this.idleListeners.add(listener);
    return () => void this.idleListeners.delete(listener);
  }

  endWith(code: number): void {
    this.ends.push(`end with ${code}`);
  }

  exit(code: number): void {
    this.ends.push(`exit ${code}`);
  }

  complain(line: string): void {
    this.complaints.push(line);
  }

  receive(signal: NodeJS.Signals): void {
    for (const listener of this.#listeners.get(signal) ?? []) listener();
  }

  listenerCount(signal: NodeJS.Signals): number {
    return this.#listeners.get(signal)?.size ?? 0;
  }
}

async function running(options: SignalShutdownOptions = {}) {
  const bench = new LifecycleBench();
  const process = new RecordedProcess();
  const { lifecycle, clock, events } = bench;
  new SignalShutdown({ lifecycle, clock, events, process }, options).listen();
  await bench.lifecycle.onMeshInit();
  await bench.lifecycle.onMeshBootstrap();
  await bench.lifecycle.onEdgeBootstrap();
  return { bench, process };
}

/** A request that never ends by itself. */
const stubborn = { name: 'http', inFlight: 1, drained: () => new Promise<never>(() => undefined) };

describe('SignalShutdown', () => {
  it('shuts down at the first signal and ends the process by it', async () => {
    const { bench, process } = await running();
    process.receive('SIGTERM');
    await bench.clock.advance(1_000);
    expect(process.ends).toEqual(['SIGTERM']);
    expect(bench.lifecycle.phase).toBe('stopped');
    expect(process.listenerCount('SIGTERM') + process.listenerCount('SIGINT')).toBe(0);
  });

  it('ends with exit code 0 when told so', async () => {
    const { bench, process } = await running({ exitAs: 'zero' });
    process.receive('SIGINT');
    await bench.clock.advance(1_000);
    expect(process.ends).toEqual(['exit 0']);
  });

  it('takes a repeat within 500 ms for the same signal', async () => {
    const { bench, process } = await running();
    bench.lifecycle.addDrainable(stubborn);
    process.receive('SIGINT');
    await bench.clock.advance(400);
    process.receive('SIGINT');
    process.receive('SIGTERM');
    await bench.clock.advance(5_000);
    expect(process.ends).toEqual([]);
  });

  it('hurries at the second signal', async () => {
    const { bench, process } = await running();
    bench.lifecycle.addDrainable(stubborn);
    process.receive('SIGTERM');
    await bench.clock.advance(600);
    process.receive('SIGTERM');
    await bench.clock.advance(3_500);
    expect(process.ends).toEqual(['SIGTERM']);
  });

  it('exits with 1 at the third, at once', async () => {
    const { bench, process } = await running();
    bench.lifecycle.addDrainable(stubborn);
    for (let count = 0; count < 3; count++) {
      process.receive('SIGTERM');
      await bench.clock.advance(510);
    }
    expect(process.ends).toEqual(['exit 1']);
    expect(process.complaints).toEqual([
      'nestjs-mesh: SIGTERM for the third time. Exit 1 with the shutdown unfinished.',
    ]);
  });

  it('exits with 1 past the budget and says who hangs', async () => {
    const { bench, process } = await running();
    bench.lifecycle.attach({
      close: async () => {
        await bench.lifecycle.onEdgeDestroy();
        await new Promise(() => undefined);
      },
    });
    process.receive('SIGTERM');
    await bench.clock.advance(25_000);
    expect(process.ends).toEqual(['exit 1']);
    expect(process.complaints).toEqual([
      "nestjs-mesh: the shutdown is not done after 25000 ms; hanging: a shutdown hook of the application's own code. Exit 1.",
    ]);
  });

  it('leaves no listener behind, and the process alone, when the application is closed without a signal', async () => {
    const { bench, process } = await running();
    await bench.lifecycle.onEdgeDestroy();
    await bench.clock.advance(60_000);
    await bench.lifecycle.onMeshShutdown();
    expect(process.listenerCount('SIGTERM') + process.listenerCount('SIGINT')).toBe(0);
    expect(process.ends).toEqual([]);
    expect(process.complaints).toEqual([]);
  });

  it('exits with 1 when the application can not be closed', async () => {
    const { bench, process } = await running();
    bench.lifecycle.attach({ close: () => Promise.reject(new Error('broken')) });
    process.receive('SIGTERM');
    await bench.clock.advance(1_000);
    expect(process.ends).toEqual(['exit 1']);
    expect(process.complaints[0]).toContain('the shutdown failed: Error: broken');
  });

  it('says so, with exit code 1, when the process ends by itself in the middle of the start', async () => {
    const { lifecycle, clock, events } = new LifecycleBench();
    const process = new RecordedProcess();
    new SignalShutdown({ lifecycle, clock, events, process }).listen();
    const becomeIdle = () => process.idleListeners.forEach((listener) => listener());
    becomeIdle();
    expect(process.ends).toEqual([]);
    await lifecycle.onMeshInit();
    becomeIdle();
    expect(process.ends).toEqual(['end with 1']);
    expect(process.complaints).toEqual([expect.stringContaining('failed, or waits for what nothing')]);
  });

  it('has nothing against a process that ends by itself once the start is over', async () => {
    const { process } = await running();
    expect(process.idleListeners.size).toBe(0);
  });
});
