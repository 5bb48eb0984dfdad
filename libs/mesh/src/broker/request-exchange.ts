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
  readonly handler: (payload: unknown, message: RequestMessage | undefined) => unknown;
  /** The handler does not look at its second argument, so none is made. */
  readonly payloadOnly: boolean;
  readonly metrics: RequestMetrics;
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
  /** The caller was told that it waits no longer, while the handler still runs. */
  onAbandoned(exchange: RequestExchange): void;
  /** Caller and handler are both done. */
  onFinished(exchange: RequestExchange): void;
}

/** One request from its sending to its answer. It settles once: by the handler, by its timeout, or by its caller. */
export class RequestExchange extends Expiring implements Running {
  readonly #table: ExchangeTable;
  readonly #route: RequestRoute;
  readonly #timeoutMs: number;
  readonly #resolve: (value: never) => void;
  readonly #reject: (error: unknown) => void;
  #caller: { readonly signal: AbortSignal; readonly onAbort: () => void } | undefined = undefined;
  #settled = false;
  #givenUp: { readonly reason: unknown } | undefined = undefined;
  #handlerAbort: AbortController | undefined = undefined;
  #stream: Subscription | undefined = undefined;

  constructor(
    table: ExchangeTable,
    route: RequestRoute,
    readonly startedAt: number,
    timeoutMs: number,
    settle: { readonly resolve: (value: never) => void; readonly reject: (error: unknown) => void },
  ) {
    super();
    this.#table = table;
    this.#route = route;
    this.#timeoutMs = timeoutMs;
    this.#resolve = settle.resolve;
    this.#reject = settle.reject;
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
    const onAbort = (): void => {
      this.#route.metrics.cancelled.inc();
      this.#giveUp(signal.reason);
    };
    this.#caller = { signal, onAbort };
    signal.addEventListener('abort', onAbort, { once: true });
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
    this.#table.onFinished(this);
  }

  override expire(): void {
    this.#route.metrics.timedOut.inc();
    this.#giveUp(new RequestTimeoutError(this.#route.key, this.#timeoutMs));
  }

  #answer(value: unknown): void {
    if (typeof value === 'object' && isObservable(value)) return this.#followStream(value);
    if (!this.#settled) {
      this.#route.metrics.ok.inc();
      this.#settle();
      this.#resolve(value as never);
    }
    this.#table.onFinished(this);
  }

  #giveUp(reason: unknown): void {
    this.#givenUp = { reason };
    this.#settle();
    this.#reject(reason);
    this.#table.onAbandoned(this);
    this.#handlerAbort?.abort(reason);
    if (!this.#stream) return;
    this.#stream.unsubscribe();
    this.#table.onFinished(this);
  }

  #settle(): void {
    this.#settled = true;
    this.#table.timeouts.remove(this);
    if (this.#caller) this.#caller.signal.removeEventListener('abort', this.#caller.onAbort);
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
