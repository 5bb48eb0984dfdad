import { isObservable, type Observable, type Subscription } from 'rxjs';
import type { RequestMessage } from '../core/broker.port.js';
import type { Clock } from '../core/clock.js';
import type { RequestMetrics } from './broker.metrics.js';
import { RequestTimeoutError } from './broker.errors.js';
import { isPromiseLike } from './handler-result.js';
import { Expiring, type TimeoutList } from './timeout-list.js';

/** What answers a pattern. */
export interface RequestRoute {
  readonly key: string;
  readonly name: string;
  readonly handler: (payload: unknown, message: RequestMessage) => unknown;
  readonly metrics: RequestMetrics;
}

/** The requests that wait for an answer and the handlers that run: a handler may outlive its caller's patience. */
export interface ExchangeTable {
  readonly clock: Clock;
  readonly timeouts: TimeoutList;
  readonly running: Set<Running>;
  /** Called when a handler has finished. */
  onFinished(running: Running): void;
}

/** A handler at work. */
export interface Running {
  readonly name: string;
  /** Of the clock's `monotonic()`. */
  readonly startedAt: number;
}

/** One request from its sending to its answer. It settles once: by the handler, by its timeout, or by its caller. */
export class RequestExchange extends Expiring implements Running {
  readonly startedAt: number;
  readonly #table: ExchangeTable;
  readonly #route: RequestRoute;
  readonly #timeoutMs: number;
  readonly #callerSignal: AbortSignal | undefined;
  readonly #onCallerAbort: (() => void) | undefined;
  readonly #resolve: (value: never) => void;
  readonly #reject: (error: unknown) => void;
  #settled = false;
  #givenUp: { readonly reason: unknown } | undefined;
  #handlerAbort: AbortController | undefined;
  #stream: Subscription | undefined;

  constructor(
    table: ExchangeTable,
    route: RequestRoute,
    limits: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
    resolve: (value: never) => void,
    reject: (error: unknown) => void,
  ) {
    super();
    this.#table = table;
    this.#route = route;
    this.#timeoutMs = limits.timeoutMs;
    this.#callerSignal = limits.signal;
    this.#resolve = resolve;
    this.#reject = reject;
    this.startedAt = table.clock.monotonic();
    table.timeouts.add(this, this.startedAt + limits.timeoutMs);
    if (!limits.signal) return;
    this.#onCallerAbort = () => this.#cancel();
    limits.signal.addEventListener('abort', this.#onCallerAbort, { once: true });
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
    this.#table.onFinished(this);
    if (this.#settled) return;
    this.#route.metrics.failed.inc();
    this.#settle();
    this.#reject(error);
  }

  override expire(): void {
    const { metrics, key } = this.#route;
    metrics.timedOut.inc();
    this.#giveUp(new RequestTimeoutError(key, this.#timeoutMs));
  }

  #answer(value: unknown): void {
    if (isObservable(value)) return this.#followStream(value);
    this.#table.onFinished(this);
    if (this.#settled) return;
    this.#route.metrics.ok.inc();
    this.#settle();
    this.#resolve(value as never);
  }

  #cancel(): void {
    this.#route.metrics.cancelled.inc();
    this.#giveUp(this.#callerSignal?.reason);
  }

  #giveUp(reason: unknown): void {
    this.#givenUp = { reason };
    this.#settle();
    this.#reject(reason);
    this.#handlerAbort?.abort(reason);
    if (!this.#stream) return;
    this.#stream.unsubscribe();
    this.#table.onFinished(this);
  }

  #settle(): void {
    this.#settled = true;
    this.#table.timeouts.remove(this);
    if (this.#onCallerAbort) this.#callerSignal?.removeEventListener('abort', this.#onCallerAbort);
    this.#route.metrics.duration.observe((this.#table.clock.monotonic() - this.startedAt) / 1_000);
  }

  #followStream(stream: Observable<unknown>): void {
    if (this.#settled) return this.#table.onFinished(this);
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
