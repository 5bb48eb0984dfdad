import { AsyncLocalStorage } from 'node:async_hooks';

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

/**
 * Holds the call context of the running code. One `AsyncLocalStorage.run` an inbound request or message and none a call:
 * on Node 24 a run costs about 0.3 us and a read 9 ns.
 */
export class CallContexts {
  readonly #storage = new AsyncLocalStorage<CallContext>();

  current(): CallContext | undefined {
    return this.#storage.getStore();
  }

  run<T>(context: CallContext, work: () => T): T {
    return this.#storage.run(context, work);
  }

  /** Runs `work` outside any context: for timers and listeners that outlive the request that created them. */
  exit<T>(work: () => T): T {
    return this.#storage.exit(work);
  }
}
