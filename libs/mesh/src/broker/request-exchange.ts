import { isObservable, lastValueFrom, type Observable, type Subscription } from 'rxjs';
import type { RequestMessage } from '../core/broker.port.js';
import type { Clock } from '../core/clock.js';
import type { Policy } from '../core/policy.port.js';
import type { RequestMetrics } from './broker.metrics.js';
import { RequestTimeoutError } from './broker.errors.js';
import { isPromiseLike } from './handler-result.js';
import { Expiring, type TimeoutList } from './timeout-list.js';

/** What answers a pattern. */
export interface RequestRoute {
  readonly key: string;
  readonly policyName: string;
  readonly name: string;
  readonly handler: (payload: unknown, message: RequestMessage | undefined) => unknown;
  /** The handler does not look at its second argument, so none is made. */
  readonly payloadOnly: boolean;
  readonly metrics: RequestMetrics;
  /** As it was found by a request. */
  policy: Policy | undefined;
}

/** What is known of a request from its beginning to its end. */
export interface ExchangeParts {
  readonly route: RequestRoute;
  /** Of the clock's `monotonic()`. */
  readonly startedAt: number;
  readonly timeoutMs: number;
}

/** A handler at work. */
export interface Running {
  readonly name: string;
  /** Of the clock's `monotonic()`. */
  readonly startedAt: number;
}

/** Where exchanges live while they last. */
export interface ExchangeTable {
  readonly clock: Clock;
  readonly timeouts: TimeoutList<RequestExchange>;
  /** The caller has its answer, or waits no longer, while a handler still runs. */
  onAbandoned(exchange: RequestExchange): void;
  /** The caller has its answer and no handler runs. */
  onFinished(exchange: RequestExchange): void;
}

/** One request from its sending to its answer. It settles once: by the handler, by its timeout, or by its caller. */
export class RequestExchange extends Expiring implements Running {
  readonly #table: ExchangeTable;
  readonly startedAt: number;
  readonly #route: RequestRoute;
  readonly #timeoutMs: number;
  /** What the caller gets. */
  readonly promise: Promise<unknown>;
  #resolve!: (value: unknown) => void;
  #reject!: (error: unknown) => void;
  #abort: { readonly signal: AbortSignal; readonly listener: () => void } | undefined = undefined;
  // What has to end before the exchange is over: the answer, and the attempts that a policy makes for it.
  #open = 1;
  #settled = false;
  #givenUp: { readonly reason: unknown } | undefined = undefined;
  #handlerAbort: AbortController | undefined = undefined;
  #stream: Subscription | undefined = undefined;

  constructor(table: ExchangeTable, { route, startedAt, timeoutMs }: ExchangeParts) {
    super();
    this.#table = table;
    this.startedAt = startedAt;
    this.#route = route;
    this.#timeoutMs = timeoutMs;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    table.timeouts.add(this, startedAt + timeoutMs);
  }

  get name(): string {
    return this.#route.key;
  }

  /** Aborts when nobody waits for the answer any more. */
  get signal(): AbortSignal {
    if (!this.#handlerAbort) {
      this.#handlerAbort = new AbortController();
      if (this.#givenUp) this.#handlerAbort.abort(this.#givenUp.reason);
    }
    return this.#handlerAbort.signal;
  }

  /** Lets the caller end the request. */
  listenTo(signal: AbortSignal): void {
    const listener = (): void => {
      this.#route.metrics.cancelled.inc();
      this.#giveUp(signal.reason);
    };
    this.#abort = { signal, listener };
    signal.addEventListener('abort', listener, { once: true });
  }

  /** Takes what the handler returned: a value, a promise, or an Observable, whose last value is the answer. */
  follow(returned: unknown): void {
    if (isPromiseLike(returned))
      returned.then(
        (value) => this.#answer(value),
        (error: unknown) => this.fail(error),
      );
    else this.#answer(returned);
  }

  fail(error: unknown): void {
    if (!this.#settled) {
      this.#route.metrics.failed.inc();
      this.#settle();
      this.#reject(error);
    }
    this.#end();
  }

  /**
   * Runs the handler for a policy that may give the attempt up, or make another one, while this one is at work. Never
   * throws: a policy need only look at what it gets back.
   */
  runAttempt(run: () => unknown): unknown {
    this.#open++;
    try {
      const returned = run();
      if (!isPromiseLike(returned)) return this.#attemptAnswered(returned);
      return Promise.resolve(returned).then(
        (value) => this.#attemptAnswered(value),
        (error: unknown) => {
          this.#end();
          throw error;
        },
      );
    } catch (error) {
      this.#end();
      return Promise.reject(error);
    }
  }

  #attemptAnswered(value: unknown): unknown {
    if (typeof value === 'object' && isObservable(value))
      return lastValueFrom(value, { defaultValue: undefined }).finally(() => this.#end());
    this.#end();
    return value;
  }

  /** An attempt, or the answer itself, has ended. */
  #end(): void {
    if (--this.#open === 0) this.#table.onFinished(this);
    else if (this.#settled) this.#table.onAbandoned(this);
  }

  override expire(): void {
    this.#route.metrics.timedOut.inc();
    // A broker that stops ends it before its time.
    const waitedMs = Math.min(this.#timeoutMs, this.#table.clock.monotonic() - this.startedAt);
    this.#giveUp(new RequestTimeoutError(this.#route.key, Math.round(waitedMs)));
  }

  #answer(value: unknown): void {
    if (typeof value === 'object' && isObservable(value)) return this.#followStream(value);
    if (!this.#settled) {
      this.#route.metrics.ok.inc();
      this.#settle();
      this.#resolve(value);
    }
    this.#end();
  }

  #giveUp(reason: unknown): void {
    this.#givenUp = { reason };
    this.#settle();
    this.#reject(reason);
    this.#table.onAbandoned(this);
    this.#handlerAbort?.abort(reason);
    if (!this.#stream) return;
    this.#stream.unsubscribe();
    this.#end();
  }

  #settle(): void {
    this.#settled = true;
    this.#table.timeouts.remove(this);
    if (this.#abort) this.#abort.signal.removeEventListener('abort', this.#abort.listener);
    this.#route.metrics.duration.observe((this.#table.clock.monotonic() - this.startedAt) / 1_000);
  }

  #followStream(stream: Observable<unknown>): void {
    if (this.#settled) return this.#end();
    let last: unknown;
    this.#stream = stream.subscribe({
      next: (value) => {
        last = value;
      },
      error: (error: unknown) => this.fail(error),
      complete: () => this.#answer(last),
    });
  }
}
