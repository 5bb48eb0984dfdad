import type { CallContext, CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { Ids } from '../core/ids.js';
import { DrainingError } from '../core/mesh.errors.js';
import { contextInTrace, traceOfContext, type Tracer } from '../core/trace-context.js';
import type { Drainable } from './drainable.js';
import { InFlight } from './in-flight.js';
import { inboundContext } from './inbound-context.js';

export interface JobIntakeDependencies {
  readonly contexts: CallContexts;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Where spans are recorded, each job has one of its own. */
  readonly tracer?: Tracer | undefined;
}

/** What a job's cause says of itself, in the names of HTTP headers: `x-correlation-id`, `traceparent`, `tracestate`. */
export type JobHeaders = Readonly<Record<string, string>>;

/**
 * Work that no request and no message brings in: what a scheduler, a queue's worker or a timer calls. Opens its call
 * context, counts what is in flight and drains it.
 */
export class JobIntake implements Drainable {
  readonly name = 'jobs';
  readonly #deps: JobIntakeDependencies;
  readonly #running = new InFlight();
  #stopped = false;

  constructor(deps: JobIntakeDependencies) {
    this.#deps = deps;
  }

  get inFlight(): number {
    return this.#running.count;
  }

  /** Whether the shutdown lets no further job begin. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /**
   * Runs `work` in a call context of its own, and returns what it returns; for a lazy query, the promise of its outcome.
   * @throws {DrainingError} when the shutdown lets no work begin any more.
   */
  run<T>(name: string, work: () => T, headers?: JobHeaders): T {
    if (this.#stopped) throw new DrainingError(`The job "${name}"`);
    this.#running.begin();
    let result: T;
    try {
      result = this.#inContext(name, () => begun(work()), headers);
    } catch (error) {
      this.#running.end();
      throw error;
    }
    if (!(result instanceof Promise)) {
      this.#running.end();
      return result;
    }
    return result.finally(() => this.#running.end()) as T;
  }

  /** Nobody calls a job over a connection. */
  connected(): Promise<boolean> {
    return Promise.resolve(false);
  }

  stopIntake(): void {
    this.#stopped = true;
  }

  drained(signal: AbortSignal): Promise<void> {
    return this.#running.none(signal);
  }

  #inContext<T>(name: string, work: () => T, headers: JobHeaders | undefined): T {
    const { contexts, tracer } = this.#deps;
    const context = this.#contextOf(headers);
    if (!tracer) return contexts.run(context, work);
    return tracer.span(
      { name: `job ${name}`, kind: 'internal', attributes: {}, parent: traceOfContext(context) },
      ({ trace }) => contexts.run(contextInTrace(context, trace), work),
    );
  }

  /** Begun by a request or message, it carries that one's work on, and may outlive it. */
  #contextOf(headers: JobHeaders | undefined): CallContext {
    const { contexts, clock, ids } = this.#deps;
    const current = contexts.current();
    if (headers || !current) return inboundContext(headers ?? {}, clock, ids);
    const { deadlineAt: _theirs, ...rest } = current;
    return rest;
  }
}

/** A lazy query runs when somebody waits for it: from here on, so that it runs in the job's context and is counted. */
function begun<T>(result: T): T {
  if (typeof (result as PromiseLike<unknown> | null | undefined)?.then !== 'function') return result;
  return (result instanceof Promise ? result : Promise.resolve(result)) as T;
}
