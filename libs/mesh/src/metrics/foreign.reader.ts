import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../core/clock.js';
import type { ForeignMetric } from './exposition.writer.js';
import { MAX_FOREIGN_READ_MS } from './metrics.constants.js';
import type { ForeignMetrics } from './prom-client.adapter.js';

/** What stands for a metric that cannot be had: reading it failed, or takes too long. */
type Missing = 'failed' | 'late';

interface Read {
  readonly name: string;
  readonly metric: Promise<ForeignMetric | undefined | 'failed'>;
}

/**
 * Reads metrics whose values come from code of others, which may take its time, throw or hang. For all that are not there
 * at once a page waits {@link MAX_FOREIGN_READ_MS} together; one that hangs is not asked again before it has answered.
 */
export class ForeignReader {
  readonly #foreign: ForeignMetrics;
  readonly #clock: Clock;
  readonly #hanging = new Set<string>();

  constructor(foreign: ForeignMetrics, clock: Clock) {
    this.#foreign = foreign;
    this.#clock = clock;
  }

  /** The metrics whose names are wanted, those that are there at once first. */
  async *read(isWanted: (name: string) => boolean): AsyncGenerator<ForeignMetric | Missing> {
    const slow: Read[] = [];
    for (const name of this.#foreign.names()) {
      if (!isWanted(name)) continue;
      if (this.#hanging.has(name)) {
        yield 'late';
        continue;
      }
      const read = this.#begin(name);
      const answer = await Promise.race([read.metric, nextTurn('late' as const)]);
      if (answer === 'late') slow.push(read);
      else if (answer) yield answer;
    }
    if (slow.length > 0) yield* this.#await(slow);
  }

  async *#await(slow: readonly Read[]): AsyncGenerator<ForeignMetric | Missing> {
    const { promise: end, resolve } = Promise.withResolvers<'late'>();
    const timer = this.#clock.setTimer(() => resolve('late'), MAX_FOREIGN_READ_MS);
    try {
      for (const { name, metric } of slow) {
        const answer = await Promise.race([metric, end]);
        if (answer === 'late') this.#hanging.add(name);
        if (answer) yield answer;
      }
    } finally {
      timer.cancel();
    }
  }

  #begin(name: string): Read {
    const metric = this.#foreign
      .read(name)
      .catch(() => 'failed' as const)
      .finally(() => this.#hanging.delete(name));
    return { name, metric };
  }
}
