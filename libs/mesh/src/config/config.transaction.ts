import type { Clock } from '../core/clock.js';
import { changeTogether, type OptionsChange } from '../core/live-options.js';
import { reasonOf } from '../core/message-of.js';
import type { LeafChange } from './config.diff.js';
import { ConfigRefusedError } from './config.errors.js';
import type { ConfigParticipant, PreparedChange } from './config.participant.js';
import { isWithin, parsePath, type ConfigPath } from './config.path.js';

const PREPARE_TIMEOUT_MS = 15_000;

interface Prepared {
  readonly name: string;
  readonly change: PreparedChange;
}

/** Whether the change lies in one of the participant's parts, or is the switch of a section around it. */
export function concerns(participant: Pick<ConfigParticipant, 'paths'>, path: ConfigPath): boolean {
  return participant.paths.some((text) => {
    const part = parsePath(text) ?? [text];
    return isWithin(path, part) || isWithin(part, path);
  });
}

/** One update on its way through its participants: prepare, then commit, then settle or go back. */
export class ConfigTransaction<T> {
  readonly #prepared: Prepared[] = [];

  constructor(
    private readonly clock: Clock,
    private readonly update: { readonly next: T; readonly previous: T; readonly changes: readonly LeafChange[] },
  ) {}

  /** @throws {ConfigRefusedError} when a participant can't take the change. */
  check(participants: readonly ConfigParticipant<T>[]): void {
    for (const participant of participants) {
      const changes = this.#changesOf(participant);
      if (changes.length === 0) continue;
      try {
        participant.check?.({ ...this.update, changes });
      } catch (error) {
        throw new ConfigRefusedError(participant.name, 'check', error);
      }
    }
  }

  /** @throws {ConfigRefusedError} when a participant refuses; those that had prepared have discarded it by then. */
  async prepare(participants: readonly ConfigParticipant<T>[], signal: AbortSignal): Promise<void> {
    for (const participant of participants) {
      const changes = this.#changesOf(participant);
      // Live options alone reach the component through its LiveOptions; there is nothing to rebuild.
      const concerned =
        participant.prepares === 'all' ? changes.length > 0 : changes.some(({ update }) => update === 'swap');
      if (!participant.prepare || !concerned) continue;
      try {
        const change = await this.#inTime(participant, changes, signal);
        this.#prepared.push({ name: participant.name, change });
      } catch (error) {
        throw new ConfigRefusedError(participant.name, 'prepare', withFailures(error, await this.discard()));
      }
    }
  }

  /**
   * Switches everything over in one synchronous step, participants first, then options and their listeners.
   * @throws {ConfigRefusedError} when one of them throws; by then everything is as it was, but not yet discarded.
   */
  commit(options: readonly OptionsChange[]): void {
    const committed: Prepared[] = [];
    let culprit = 'a listener';
    try {
      for (const prepared of this.#prepared) {
        culprit = prepared.name;
        committed.unshift(prepared);
        prepared.change.commit();
      }
      culprit = 'a listener';
      changeTogether(options);
    } catch (error) {
      throw new ConfigRefusedError(culprit, 'commit', withFailures(error, revertAll(committed)));
    }
  }

  /** Lets go of what was prepared after a commit that failed; answers the error, with what failed at that as well. */
  async abandon(error: unknown): Promise<unknown> {
    const failures = await this.discard();
    if (failures.length === 0 || !(error instanceof ConfigRefusedError)) return error;
    return new ConfigRefusedError(error.culprit, error.phase, withFailures(error.cause, failures));
  }

  /** Switches everything back after a commit, in reverse order and synchronously; answers what failed at that. */
  revert(options: readonly OptionsChange[]): unknown[] {
    const failures: unknown[] = [];
    try {
      changeTogether(options);
    } catch (error) {
      failures.push(error);
      // A listener that can't go back does not keep the others from doing so.
      for (const option of options) option.put();
    }
    return [...failures, ...revertAll(this.#prepared.toReversed())];
  }

  /** Lets go of what was replaced, in order; answers what failed at that. */
  settle(): Promise<unknown[]> {
    return failuresOf(
      this.#prepared.map(
        ({ change }) =>
          () =>
            change.settle?.(),
      ),
    );
  }

  /** Lets go of what was prepared, in reverse order; answers what failed at that. */
  discard(): Promise<unknown[]> {
    return failuresOf(
      this.#prepared.toReversed().map(
        ({ change }) =>
          () =>
            change.discard?.(),
      ),
    );
  }

  #changesOf(participant: ConfigParticipant<T>): LeafChange[] {
    return this.update.changes.filter(({ path }) => concerns(participant, path));
  }

  async #inTime(
    participant: ConfigParticipant<T>,
    changes: readonly LeafChange[],
    signal: AbortSignal,
  ): Promise<PreparedChange> {
    const { timeoutMs = PREPARE_TIMEOUT_MS } = participant;
    const limit = new AbortController();
    const timer = this.clock.setTimer(() => limit.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    const aborted = AbortSignal.any([signal, limit.signal]);
    try {
      const preparing = Promise.resolve(participant.prepare!({ ...this.update, changes, signal: aborted }));
      return await orAborted(preparing, aborted);
    } finally {
      timer.cancel();
    }
  }
}

/** The promise, or the signal's reason when that comes first; what is prepared too late is discarded. */
function orAborted(preparing: Promise<PreparedChange>, signal: AbortSignal): Promise<PreparedChange> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      // Its outcome has no one left to go to: the update has already been refused for the delay.
      preparing.then((late) => late.discard?.()).catch(() => undefined);
      reject(signal.reason);
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    const done = (): void => signal.removeEventListener('abort', onAbort);
    preparing.then(resolve, reject).finally(done);
  });
}

function revertAll(prepared: readonly Prepared[]): unknown[] {
  const failures: unknown[] = [];
  for (const { change } of prepared) {
    try {
      change.revert();
    } catch (error) {
      failures.push(error);
    }
  }
  return failures;
}

async function failuresOf(steps: readonly (() => Promise<void> | void)[]): Promise<unknown[]> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  return failures;
}

function withFailures(error: unknown, failures: readonly unknown[]): unknown {
  if (failures.length === 0) return error;
  const reasons = [error, ...failures].map(reasonOf);
  return new AggregateError([error, ...failures], reasons.join('; going back failed as well: '), { cause: error });
}
