import type { Clock } from '../core/clock.js';
import type { MeshComponent, StopContext } from '../core/component.port.js';
import type { LiveOptions } from '../core/live-options.js';
import { DrainingError, MeshConfigError } from '../core/mesh.errors.js';
import type { MeshEvents } from '../core/mesh.events.js';
import type { LifecycleOptions } from '../lifecycle/lifecycle.options.js';
import { runStep } from '../lifecycle/step.js';
import { assertPart, type ReplaceableParts } from '../replacements.js';
import type { ReplaceablePart } from './replaceable-part.js';
import { ReplaceableBroker } from './replaceable.broker.js';
import { ReplaceableCache } from './replaceable.cache.js';
import { ReplaceableMetrics } from './replaceable.metrics.js';
import { ReplacementRefusedError } from './replacement.errors.js';

export interface ReplaceResult {
  /** What failed while the old part was let go; the new one is in use all the same. */
  readonly leftovers: readonly unknown[];
}

interface PartReplacerDeps {
  readonly clock: Clock;
  readonly events: MeshEvents;
  readonly options: LiveOptions<LifecycleOptions>;
}

type PartName = keyof ReplaceableParts;
/** The steps that a part may have beside those of its port. */
type Steps = object &
  Partial<Pick<MeshComponent, 'start' | 'check' | 'stop' | 'timeouts'>> & { drain?(context: StopContext): unknown };

const CHECK_MS = 5_000;

const makers: { readonly [K in PartName]: (part: ReplaceableParts[K]) => ReplaceablePart<ReplaceableParts[K]> } = {
  metrics: (client) => new ReplaceableMetrics(client),
  broker: (broker) => new ReplaceableBroker(broker),
  cache: (cache) => new ReplaceableCache(cache),
};

/** Hands out the replaceable parts in a form that stays valid, and replaces them one after the other. */
export class PartReplacer {
  readonly #deps: PartReplacerDeps;
  readonly #held = new Map<PartName, ReplaceablePart<unknown>>();
  readonly #closing = new AbortController();
  #isReady = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(deps: PartReplacerDeps) {
    this.#deps = deps;
    deps.events.on('lifecycle.phase', ({ phase }) => {
      this.#isReady = phase === 'ready';
      if (phase === 'draining') this.#closing.abort(new DrainingError('The replacement of a part'));
    });
  }

  /** What everybody gets instead of the part. */
  hold<K extends PartName>(name: K, part: ReplaceableParts[K]): ReplaceableParts[K] {
    const held = makers[name](part);
    this.#held.set(name, held);
    return held.face;
  }

  /** The part in use itself. */
  part<K extends PartName>(name: K): ReplaceableParts[K] {
    return this.#find(name).part;
  }

  /**
   * Starts `next`, checks it, switches everybody over at once, then lets what runs on the old part finish and stops it.
   * Resolves when the old part is gone.
   * @throws {ReplacementRefusedError} when `next` does not start or is not well; nothing has changed then.
   */
  replace<K extends PartName>(name: K, next: ReplaceableParts[K]): Promise<ReplaceResult> {
    const run = this.#last.then(() => this.#replace(name, next));
    this.#last = run.catch(() => undefined); // The caller has the error; the next replacement must not.
    return run;
  }

  /** Waits for the replacement that is under way; one that has not switched yet is called off. */
  async close(): Promise<void> {
    this.#closing.abort(new DrainingError('The replacement of a part'));
    await this.#last;
  }

  async #replace<K extends PartName>(name: K, next: ReplaceableParts[K]): Promise<ReplaceResult> {
    const { clock, events } = this.#deps;
    this.#closing.signal.throwIfAborted();
    const held = this.#find(name);
    assertPart(name, next);
    if (!this.#isReady)
      throw new MeshConfigError(
        `The ${name} can't be replaced before the application is ready; pass it in components.`,
      );
    const old = held.part;
    if (next === old || next === held.face) return { leftovers: [] };

    const startedAt = clock.monotonic();
    await this.#takeOver(name, held, next);
    const leftovers = await this.#letGo(name, old);
    events.emit('component.replaced', {
      component: name,
      from: classOf(old),
      to: classOf(next),
      durationMs: clock.monotonic() - startedAt,
      leftovers: leftovers.length,
    });
    return { leftovers };
  }

  async #takeOver<K extends PartName>(
    name: K,
    held: ReplaceablePart<ReplaceableParts[K]>,
    next: ReplaceableParts[K],
  ): Promise<void> {
    let phase: 'start' | 'check' | 'prepare' = 'start';
    try {
      await this.#start(name, next);
      phase = 'check';
      await this.#check(name, next);
      phase = 'prepare';
      const prepared = await held.prepare(next);
      try {
        this.#closing.signal.throwIfAborted();
        prepared.commit();
      } catch (error) {
        await prepared.discard();
        throw error;
      }
    } catch (cause) {
      await this.#stop(name, next, 'rollback').catch(() => undefined); // Why it was refused is what the caller needs.
      if (this.#closing.signal.aborted) throw this.#closing.signal.reason;
      throw new ReplacementRefusedError(name, phase, { next: classOf(next), current: classOf(held.part), cause });
    }
  }

  async #start(name: PartName, part: Steps): Promise<void> {
    const timeoutMs = part.timeouts?.startMs ?? this.#deps.options.current.start.componentMs;
    await this.#step(`start of the new ${name}`, timeoutMs, (signal) => part.start?.({ signal }));
  }

  async #check(name: PartName, part: Steps): Promise<void> {
    const timeoutMs = part.timeouts?.checkMs ?? CHECK_MS;
    const report = await this.#step(`check of the new ${name}`, timeoutMs, (signal) => part.check?.({ signal }));
    if (report?.status === 'down') throw new Error(report.reason ?? 'it is down');
  }

  async #letGo(name: PartName, part: Steps): Promise<unknown[]> {
    const failures: unknown[] = [];
    const timeoutMs = part.timeouts?.drainMs ?? this.#deps.options.current.shutdown.drainMs;
    const deadlineAt = this.#deps.clock.now() + timeoutMs;
    const drain = runStep({ clock: this.#deps.clock, what: `drain of the old ${name}`, timeoutMs }, (signal) =>
      part.drain?.({ signal, deadlineAt, reason: 'swap' }),
    );
    await drain.catch((error: unknown) => failures.push(error));
    await this.#stop(name, part, 'swap').catch((error: unknown) => failures.push(error));
    return failures;
  }

  async #stop(name: PartName, part: Steps, reason: 'rollback' | 'swap'): Promise<void> {
    const { clock, options } = this.#deps;
    const timeoutMs = part.timeouts?.stopMs ?? options.current.shutdown.componentMs;
    const deadlineAt = clock.now() + timeoutMs;
    await runStep({ clock, what: `stop of the ${name}`, timeoutMs }, (signal) =>
      part.stop?.({ signal, deadlineAt, reason }),
    );
  }

  /** A step towards the switch, called off by a shutdown. */
  #step<T>(what: string, timeoutMs: number, work: (signal: AbortSignal) => Promise<T> | T): Promise<T> {
    return runStep({ clock: this.#deps.clock, what, timeoutMs, signal: this.#closing.signal }, work);
  }

  #find<K extends PartName>(name: K): ReplaceablePart<ReplaceableParts[K]> {
    const held = this.#held.get(name);
    if (held) return held as ReplaceablePart<ReplaceableParts[K]>;
    throw new MeshConfigError(
      Object.hasOwn(makers, name)
        ? `The ${name} was put there by a provider that stands in for the mesh's own; replace it through that one.`
        : `"${name}" is not a part that can be replaced; these are: ${Object.keys(makers).join(', ')}.`,
    );
  }
}

function classOf(part: object): string {
  return part.constructor.name;
}
