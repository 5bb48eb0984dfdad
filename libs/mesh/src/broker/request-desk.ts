import type { RequestMessage, RequestOptions } from '../core/broker.port.js';
import type { CallContext, CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import { IN_PROCESS } from '../core/in-process.js';
import type { Ids } from '../core/ids.js';
import type { LiveOptions } from '../core/live-options.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { Attempt, Policy } from '../core/policy.port.js';
import { NoResponderError, OverloadedError, PayloadError, RequestTimeoutError } from './broker.errors.js';
import { UNSERVED, type BrokerMetrics } from './broker.metrics.js';
import type { BrokerOptions } from './broker.options.js';
import { handlerResult } from './handler-result.js';
import { RequestExchange, type ExchangeTable, type RequestRoute, type Running } from './request-exchange.js';
import { TimeoutList } from './timeout-list.js';

const NO_OPTIONS: RequestOptions = Object.freeze({});
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

interface DeskCollaborators {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly contexts: CallContexts;
  readonly policyFor?: (pattern: string) => Policy | undefined;
  readonly onIdle: () => void;
}

/** The request-reply half of the in-process broker: who answers what, who waits, and which handlers run. */
export class RequestDesk implements ExchangeTable {
  readonly clock: Clock;
  readonly timeouts: TimeoutList;
  readonly running = new Set<Running>();
  readonly #options: LiveOptions<BrokerOptions>;
  readonly #metrics: BrokerMetrics;
  readonly #parts: DeskCollaborators;
  readonly #routes = new Map<string, RequestRoute>();
  #finished = 0;

  constructor(options: LiveOptions<BrokerOptions>, metrics: BrokerMetrics, parts: DeskCollaborators) {
    this.#options = options;
    this.#metrics = metrics;
    this.#parts = parts;
    this.clock = parts.clock;
    this.timeouts = new TimeoutList(parts.clock);
  }

  get inFlight(): number {
    return this.running.size;
  }

  /** Handlers that ended, well or not, since the beginning. */
  get finished(): number {
    return this.#finished;
  }

  get handlers(): ReadonlyMap<string, string> {
    return new Map([...this.#routes].map(([key, route]) => [key, route.name]));
  }

  serve(key: string, handler: RequestRoute['handler'], { name }: { readonly name: string }): () => void {
    const taken = this.#routes.get(key);
    if (taken)
      throw new MeshConfigError(
        `"${key}" is answered by ${taken.name} and by ${name}; a pattern has one handler. Rename one of them.`,
        { pattern: key, handlers: [taken.name, name] },
      );
    const route: RequestRoute = { key, name, handler, metrics: this.#metrics.request(key) };
    this.#routes.set(key, route);
    return () => {
      if (this.#routes.get(key) === route) this.#routes.delete(key);
    };
  }

  /** @throws what refuses the request before its handler runs; everything later rejects. */
  request<R>(key: string, payload: unknown, options: RequestOptions = NO_OPTIONS): Promise<R> {
    const route = this.#routes.get(key);
    if (!route) {
      this.#metrics.counter(UNSERVED, 'request', 'no-responder').inc();
      throw new NoResponderError(key);
    }
    const { maxInFlight, requestTimeoutMs } = this.#options.current;
    if (this.running.size >= maxInFlight) {
      route.metrics.refused.inc();
      throw new OverloadedError(`The request "${key}"`, maxInFlight, 'requests run');
    }
    const { signal, timeoutMs = requestTimeoutMs } = options;
    if (!(timeoutMs > 0))
      throw new PayloadError(`timeoutMs of the request "${key}" is ${timeoutMs}: it must be above 0 ms.`);
    signal?.throwIfAborted();

    const parent = this.#parts.contexts.current();
    const now = this.clock.now();
    const ownDeadlineAt = now + timeoutMs;
    const inherited = parent?.deadlineAt !== undefined && parent.deadlineAt <= ownDeadlineAt;
    const deadlineAt = inherited ? parent.deadlineAt! : ownDeadlineAt;
    const remainingMs = deadlineAt - now;
    if (remainingMs <= 0) {
      route.metrics.timedOut.inc();
      throw new RequestTimeoutError(key, 0);
    }
    const context = inherited ? undefined : this.#childContext(parent, deadlineAt);
    return new Promise<R>((resolve, reject) => {
      const exchange = new RequestExchange(this, route, { timeoutMs: remainingMs, signal }, resolve, reject);
      const headers = options.headers ?? NO_HEADERS;
      const policy = this.#parts.policyFor?.(key);
      if (policy) this.#runUnderPolicy(policy, exchange, { route, payload, headers, deadlineAt, context, options });
      else this.#run(exchange, { route, payload, headers, deadlineAt, context });
    });
  }

  onFinished(running: Running): void {
    if (!this.running.delete(running)) return;
    this.#finished++;
    if (this.running.size === 0) this.#parts.onIdle();
  }

  stop(): void {
    this.timeouts.expireAll();
  }

  #childContext(parent: CallContext | undefined, deadlineAt: number): CallContext {
    if (!parent) return { correlationId: this.#parts.ids.next(), deadlineAt };
    return { ...parent, deadlineAt };
  }

  #run(exchange: RequestExchange, call: Call): void {
    this.running.add(exchange);
    try {
      exchange.follow(this.#invoke(call, exchange));
    } catch (error) {
      exchange.fail(error);
    }
  }

  /** Each attempt is a run of the handler of its own: one that timed out may still be at work when the next begins. */
  #runUnderPolicy(policy: Policy, exchange: RequestExchange, call: Call & { readonly options: RequestOptions }): void {
    const { route, options, deadlineAt } = call;
    const attempt = async (handle: Attempt): Promise<unknown> => {
      const running: Running = { name: route.key, startedAt: this.clock.monotonic() };
      this.running.add(running);
      try {
        return await handlerResult(this.#invoke(call, handle));
      } finally {
        this.onFinished(running);
      }
    };
    const { signal, idempotent } = options;
    try {
      exchange.follow(
        policy.execute(attempt, {
          deadlineAt,
          ...(signal && { signal }),
          ...(idempotent !== undefined && { idempotent }),
        }),
      );
    } catch (error) {
      exchange.fail(error);
    }
  }

  #invoke({ route, payload, headers, deadlineAt, context }: Call, owner: { readonly signal: AbortSignal }): unknown {
    const message = new InProcessRequest(route.key, headers, deadlineAt, owner);
    if (!context) return route.handler(payload, message);
    return this.#parts.contexts.run(context, () => route.handler(payload, message));
  }
}

interface Call {
  readonly route: RequestRoute;
  readonly payload: unknown;
  readonly headers: Readonly<Record<string, string>>;
  readonly deadlineAt: number;
  /** Absent when the caller's own context will do. */
  readonly context: CallContext | undefined;
}

class InProcessRequest implements RequestMessage {
  readonly #owner: { readonly signal: AbortSignal };

  constructor(
    readonly pattern: string,
    readonly headers: Readonly<Record<string, string>>,
    readonly deadlineAt: number,
    owner: { readonly signal: AbortSignal },
  ) {
    this.#owner = owner;
  }

  get signal(): AbortSignal {
    return this.#owner.signal;
  }

  get [IN_PROCESS](): true {
    return true;
  }
}
