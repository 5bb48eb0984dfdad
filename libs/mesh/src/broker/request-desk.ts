import type { RequestMessage, RequestOptions } from '../core/broker.port.js';
import type { CallContext, CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { Ids } from '../core/ids.js';
import { IN_PROCESS } from '../core/in-process.js';
import type { LiveOptions } from '../core/live-options.js';
import type { Attempt, Policy } from '../core/policy.port.js';
import { NoResponderError, RequestTimeoutError } from './broker.errors.js';
import { UNSERVED, type BrokerMetrics } from './broker.metrics.js';
import type { SharedBrokerOptions } from './broker.options.js';
import { CountedIds } from './counted-ids.js';
import { assertTimeout, executeOptions, tooManyRequests } from './request-checks.js';
import { RequestExchange, type ExchangeTable, type RequestRoute, type Running } from './request-exchange.js';
import { RouteTable } from './route-table.js';
import { TimeoutList } from './timeout-list.js';

/** How long an offset between the two clocks is trusted: as late as a jump of the machine's clock may be noticed. */
const EPOCH_OFFSET_MS = 20;
const NO_OPTIONS: RequestOptions = Object.freeze({});
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

/** Finds the policy `broker:<pattern>` by either name; `undefined` when there is none. */
export type PolicyFor = (pattern: string, policyName: string) => Policy | undefined;

/** One request as its handler is called with. */
interface RequestCall {
  readonly route: RequestRoute;
  readonly payload: unknown;
  readonly options: RequestOptions;
  /** Absent when the caller's own context will do. */
  readonly context: CallContext | undefined;
  /** Epoch ms. */
  readonly deadlineAt: number;
}

interface DeskCollaborators {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly contexts: CallContexts;
  readonly policyFor?: PolicyFor;
  readonly onIdle: () => void;
}

/** The request-reply half of the in-process broker: who answers what, who waits, and which handlers run. */
export class RequestDesk implements ExchangeTable {
  readonly clock: Clock;
  readonly timeouts: TimeoutList<RequestExchange>;
  readonly #options: LiveOptions<SharedBrokerOptions>;
  readonly #metrics: BrokerMetrics;
  readonly #parts: DeskCollaborators;
  readonly #routes = new RouteTable<RequestRoute>();
  // Handlers that nobody waits for any more; the others are found in the timeouts.
  readonly #overdue = new Set<RequestExchange>();
  readonly #correlationIds: CountedIds;
  #epochOffset = 0;
  #epochOffsetUntil = Number.NEGATIVE_INFINITY;
  #inFlight = 0;
  #finished = 0;

  constructor(options: LiveOptions<SharedBrokerOptions>, metrics: BrokerMetrics, parts: DeskCollaborators) {
    this.#options = options;
    this.#metrics = metrics;
    this.#parts = parts;
    this.clock = parts.clock;
    this.#correlationIds = new CountedIds(parts.ids.next());
    this.timeouts = new TimeoutList(parts.clock);
  }

  /** Requests whose caller waits or whose handler runs. */
  get inFlight(): number {
    return this.#inFlight;
  }

  get running(): readonly Running[] {
    return [...this.timeouts, ...this.#overdue];
  }

  /** Requests that ended, well or not, since the beginning. */
  get finished(): number {
    return this.#finished;
  }

  /** The patterns that are answered, by the name of their handler. */
  get handlers(): ReadonlyMap<string, string> {
    return this.#routes.handlers;
  }

  serve(key: string, handler: RequestRoute['handler'], options: { name: string; payloadOnly: boolean }): () => void {
    return this.#routes.claim(key, {
      key,
      policyName: `broker:${key}`,
      handler,
      ...options,
      policy: undefined,
      metrics: this.#metrics.request(key),
    });
  }

  /** @throws what refuses the request before its handler runs; everything later rejects. */
  request<R>(key: string, payload: unknown, options: RequestOptions = NO_OPTIONS): Promise<R> {
    const route = this.#routes.get(key) ?? this.#noResponder(key);
    const { maxInFlight, requestTimeoutMs } = this.#options.current;
    if (this.#inFlight >= maxInFlight) this.#refuseOverload(route, maxInFlight);
    const { signal, timeoutMs = requestTimeoutMs } = options;
    assertTimeout(key, timeoutMs);
    signal?.throwIfAborted();

    const parent = this.#parts.contexts.current();
    const startedAt = this.clock.monotonic();
    const now = this.#epochAt(startedAt);
    const inherited = parent?.deadlineAt !== undefined && parent.deadlineAt <= now + timeoutMs;
    const deadlineAt = inherited ? parent.deadlineAt! : now + timeoutMs;
    if (deadlineAt <= now) this.#refuseExpired(route);
    const context = inherited ? undefined : this.#childContext(parent, deadlineAt);
    const exchange = new RequestExchange(this, { route, startedAt, timeoutMs: deadlineAt - now });
    this.#inFlight++;
    if (signal) exchange.listenTo(signal);
    // A policy that was found once stays, whatever its options become; one that is missing may be configured later.
    const policy = (route.policy ??= this.#parts.policyFor?.(key, route.policyName));
    const call = { route, payload, options, context, deadlineAt };
    try {
      exchange.follow(policy ? this.#callUnderPolicy(policy, call, exchange) : this.#call(call, exchange));
    } catch (error) {
      exchange.fail(error);
    }
    return exchange.promise as Promise<R>;
  }

  onAbandoned(exchange: RequestExchange): void {
    this.#overdue.add(exchange);
  }

  onFinished(exchange: RequestExchange): void {
    if (this.#overdue.size > 0) this.#overdue.delete(exchange);
    this.#finished++;
    if (--this.#inFlight === 0) this.#parts.onIdle();
  }

  stop(): void {
    this.timeouts.expireAll();
  }

  /** The epoch time at an instant of `monotonic()`. Reading two clocks would be a sixth of a request. */
  #epochAt(monotonic: number): number {
    if (monotonic >= this.#epochOffsetUntil) {
      this.#epochOffset = this.clock.now() - monotonic;
      this.#epochOffsetUntil = monotonic + EPOCH_OFFSET_MS;
    }
    return Math.floor(monotonic + this.#epochOffset);
  }

  #childContext(parent: CallContext | undefined, deadlineAt: number): CallContext {
    if (!parent) return { correlationId: this.#correlationIds.next(), deadlineAt };
    return { ...parent, deadlineAt };
  }

  #call(
    { route, payload, options, deadlineAt, context }: RequestCall,
    owner: { readonly signal: AbortSignal },
  ): unknown {
    const message = route.payloadOnly
      ? undefined
      : new InProcessRequest(route.key, options.headers ?? NO_HEADERS, deadlineAt, owner);
    if (!context) return route.handler(payload, message);
    return this.#parts.contexts.run(context, () => route.handler(payload, message));
  }

  /** Each attempt is a run of the handler of its own: one that timed out may still be at work when the next begins. */
  #callUnderPolicy(policy: Policy, call: RequestCall, exchange: RequestExchange): Promise<unknown> {
    const attempt = (handle: Attempt): unknown => exchange.runAttempt(() => this.#call(call, handle));
    return policy.execute(attempt, executeOptions(call.deadlineAt, call.options));
  }

  #noResponder(key: string): never {
    this.#metrics.counter(UNSERVED, 'request', 'no-responder').inc();
    throw new NoResponderError(key);
  }

  #refuseOverload({ key, metrics }: RequestRoute, limit: number): never {
    metrics.refused.inc();
    throw tooManyRequests(key, limit);
  }

  #refuseExpired({ key, metrics }: RequestRoute): never {
    metrics.timedOut.inc();
    throw new RequestTimeoutError(key, 0);
  }
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
