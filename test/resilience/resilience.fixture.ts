import { expect } from 'vitest';
import type { z } from 'zod';
import { CallContexts } from '../../libs/mesh/src/core/call-context.js';
import { Ids } from '../../libs/mesh/src/core/ids.js';
import type { LiveOptions } from '../../libs/mesh/src/core/live-options.js';
import { MeshEvents, type MeshEventMap, type MeshEventName } from '../../libs/mesh/src/core/mesh.events.js';
import { MetricsClient, type MetricsExposition } from '../../libs/mesh/src/core/metrics.port.js';
import { VirtualClock } from '../../libs/mesh/src/testing/virtual-clock.js';
import { CircuitBreakerManager } from '../../libs/mesh/src/resilience/circuit-breaker.manager.js';
import { type ResilienceOptions, resilienceSchema } from '../../libs/mesh/src/resilience/resilience.options.js';

/** No jitter, no waiting: half of every random range. */
class FixedIds extends Ids {
  fraction = 0.5;
  override next = (): string => 'id';
  override spanId = (): string => '0'.repeat(16);
  override traceId = (): string => '0'.repeat(32);
  override random(): number {
    return this.fraction;
  }
}

/** Adds up every series under its name and labels. */
export class CountingMetrics extends MetricsClient {
  readonly series = new Map<string, number>();
  readonly #collectors = new Set<() => void>();

  override counter = (definition: { name: string }) => this.#family(definition.name);
  override gauge = (definition: { name: string }) => this.#family(definition.name);
  override histogram = (definition: { name: string }) => this.#family(definition.name);

  override onCollect(callback: () => void): () => void {
    this.#collectors.add(callback);
    return () => this.#collectors.delete(callback);
  }

  override async expose(): Promise<MetricsExposition> {
    return { contentType: 'text/plain', body: '' };
  }

  collect(): void {
    for (const collector of this.#collectors) collector();
  }

  value(name: string, labels: Readonly<Record<string, string>>): number {
    return this.series.get(keyOf(name, labels)) ?? 0;
  }

  #family(name: string) {
    return {
      with: (labels: Readonly<Record<string, string>>) => {
        const key = keyOf(name, labels);
        const add = (by: number): void => void this.series.set(key, (this.series.get(key) ?? 0) + by);
        return {
          inc: (by = 1) => add(by),
          dec: (by = 1) => add(-by),
          set: (value: number) => void this.series.set(key, value),
          observe: () => add(1),
        };
      },
    };
  }
}

function keyOf(name: string, labels: Readonly<Record<string, string>>): string {
  return `${name}${JSON.stringify(Object.entries(labels).sort())}`;
}

/** A manager of its own application, on a clock that stands still. */
export class ResilienceFixture {
  readonly clock: VirtualClock;
  readonly ids = new FixedIds();
  readonly listenerErrors: unknown[] = [];
  readonly events = new MeshEvents((error) => this.listenerErrors.push(error));
  readonly metrics = new CountingMetrics();
  readonly contexts = new CallContexts();
  readonly manager: CircuitBreakerManager;
  readonly seen: { name: MeshEventName; event: MeshEventMap[MeshEventName] }[] = [];
  readonly #listeners = new Set<(next: ResilienceOptions, previous: ResilienceOptions) => void>();
  #current: ResilienceOptions;

  constructor(options: z.input<typeof resilienceSchema> = {}, clock = new VirtualClock()) {
    this.clock = clock;
    this.#current = resilienceSchema.parse(options);
    const current = (): ResilienceOptions => this.#current;
    const live: LiveOptions<ResilienceOptions> = {
      get current() {
        return current();
      },
      onChange: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    };
    this.events.onAny((name, event) => void this.seen.push({ name, event }));
    this.manager = new CircuitBreakerManager(live, {
      clock: this.clock,
      ids: this.ids,
      events: this.events,
      metrics: this.metrics,
      contexts: this.contexts,
    });
  }

  reload(options: z.input<typeof resilienceSchema>): void {
    const previous = this.#current;
    this.#current = resilienceSchema.parse(options);
    for (const listener of this.#listeners) listener(this.#current, previous);
  }

  /** The events of one name, in order. */
  eventsOf<N extends MeshEventName>(name: N): MeshEventMap[N][] {
    return this.seen.filter((seen) => seen.name === name).map(({ event }) => event as MeshEventMap[N]);
  }

  /** What must hold after every test: nothing runs, nothing waits, and the manager leaves no timer and no listener. */
  async close(): Promise<void> {
    expect(this.manager.inFlight).toBe(0);
    this.manager.dispose();
    expect(this.clock.pendingTimers).toBe(0);
    expect(this.#listeners.size).toBe(0);
    expect(this.listenerErrors).toEqual([]);
  }
}

export const failing = async (): Promise<never> => {
  throw new Error('callee down');
};

/** Settles when it is told to. */
export function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((res, rej) => ([resolve, reject] = [res, rej]));
  return { promise, resolve, reject };
}
