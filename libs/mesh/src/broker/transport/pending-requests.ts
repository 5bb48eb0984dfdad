import type { RequestOptions } from '../../core/broker.port.js';
import type { CallContexts } from '../../core/call-context.js';
import type { Clock } from '../../core/clock.js';
import type { Ids } from '../../core/ids.js';
import type { LiveOptions } from '../../core/live-options.js';
import { isMeshError } from '../../core/mesh.error.js';
import { messageOf } from '../../core/message-of.js';
import { ConnectionLostError, NoResponderError, RequestTimeoutError, type Outcome } from '../broker.errors.js';
import { UNSERVED, type BrokerMetrics, type RequestMetrics } from '../broker.metrics.js';
import type { RemoteBrokerOptions } from '../broker.options.js';
import { assertTimeout, executeOptions, tooManyRequests } from '../request-checks.js';
import type { PolicyFor } from '../request-desk.js';
import { Expiring, TimeoutList } from '../timeout-list.js';
import { assertCarriesHeaders } from './capabilities.js';
import { assertHeaders, contextHeaders, HEADER, passedOn, type Headers } from './message-headers.js';
import { decodePayload, encodePayload } from './payload.codec.js';
import type { TransportDriver, WireBody, WireReply } from './transport-driver.port.js';
import { revive } from './wire-error.js';

/** Enough to tell processes apart in logs; within one, a counter does. */
const ID_PREFIX_LENGTH = 8;
/** A service that is just starting may lose the question, which is then asked again. */
const LONGEST_PROBE_MS = 1_000;

interface RequestParts {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly contexts: CallContexts;
  readonly driver: TransportDriver;
  readonly metrics: BrokerMetrics;
  readonly policyFor?: PolicyFor;
  /** Why the connection is away; `undefined` while it is there. */
  readonly awayReason: () => string | undefined;
  readonly onIdle: () => void;
}

interface OutgoingCall {
  readonly pattern: string;
  readonly headers: Headers | undefined;
  readonly body: WireBody;
}

/** The requests of this process whose answers are on their way. Each settles once, whatever happens to the connection. */
export class PendingRequests {
  readonly #options: LiveOptions<RemoteBrokerOptions>;
  readonly #parts: RequestParts;
  readonly #pending = new Map<string, Pending>();
  readonly #timeouts: TimeoutList<Pending>;
  readonly #metrics = new Map<string, RequestMetrics>();
  // A random id for each request would cost more than the rest of it.
  readonly #idPrefix: string;
  #idCount = 0;

  constructor(options: LiveOptions<RemoteBrokerOptions>, parts: RequestParts) {
    this.#options = options;
    this.#parts = parts;
    this.#timeouts = new TimeoutList(parts.clock);
    this.#idPrefix = `${parts.ids.next().slice(0, ID_PREFIX_LENGTH)}-`;
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  get running(): Iterable<{ readonly name: string; readonly startedAt: number }> {
    return this.#pending.values();
  }

  /** @throws what refuses the request before anything is sent; everything later rejects. */
  request(pattern: string, payload: unknown, options: RequestOptions): Promise<unknown> {
    const { requestTimeoutMs, maxInFlight } = this.#options.current;
    if (this.#pending.size >= maxInFlight) this.#refuse(pattern, tooManyRequests(pattern, maxInFlight));
    const { timeoutMs = requestTimeoutMs, signal, headers } = options;
    assertTimeout(pattern, timeoutMs);
    if (headers) {
      assertCarriesHeaders(this.#parts.driver, `headers of the request "${pattern}"`);
      assertHeaders(headers, `the request "${pattern}"`);
    }
    signal?.throwIfAborted();

    const deadlineAt = this.#deadlineAt(timeoutMs);
    const call: OutgoingCall = { pattern, headers: headers && passedOn(headers), body: encodePayload(payload) };
    const policy = this.#parts.policyFor?.(pattern, `broker:${pattern}`);
    if (!policy) return this.#send(call, deadlineAt, signal);
    return policy.execute(
      (attempt) => this.#send(call, Math.min(deadlineAt, this.#now() + attempt.remainingMs), attempt.signal),
      executeOptions(deadlineAt, options),
    );
  }

  /** Whether anybody serves the pattern, as far as is known within `limitMs`; asked without running the handler. */
  async probe(pattern: string, limitMs: number): Promise<boolean> {
    if (this.#parts.awayReason() !== undefined) return false;
    try {
      await this.#send(
        { pattern, headers: { [HEADER.probe]: '1' }, body: encodePayload(undefined) },
        this.#now() + Math.min(limitMs, LONGEST_PROBE_MS),
      );
      return true;
    } catch (error) {
      if (isMeshError(error)) return false;
      throw error;
    }
  }

  onReply(id: string, reply: WireReply): void {
    const pending = this.#pending.get(id);
    // Nobody waits any more: it timed out, or was cancelled.
    if (!pending) return;
    try {
      if (!reply.ok) throw revive(reply.body);
      const value = decodePayload(reply.body);
      this.#metricsOf(pending.name).ok.inc();
      this.#settle(pending).resolve(value);
    } catch (error) {
      this.#fail(pending, error);
    }
  }

  onNoResponder(id: string): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#parts.metrics.counter(UNSERVED, 'request', 'no-responder').inc();
    this.#remove(pending);
    pending.caller.reject(new NoResponderError(pending.name));
  }

  onRefused(isMeant: (pattern: string) => boolean, reason: string): void {
    for (const pending of this.#pending.values()) {
      if (!isMeant(pending.name)) continue;
      this.#metricsOf(pending.name).refused.inc();
      this.#remove(pending).reject(new NoResponderError(pending.name, reason));
    }
  }

  onRequestFailed(id: string, reason: string, outcome: Outcome = 'unknown'): void {
    const pending = this.#pending.get(id);
    if (pending) this.#fail(pending, new ConnectionLostError(pending.name, outcome, reason));
  }

  onDisconnected(reason: string): void {
    for (const pending of this.#pending.values())
      this.#fail(pending, new ConnectionLostError(pending.name, 'unknown', reason));
  }

  /** Nothing is answered any more. */
  stop(): void {
    this.onDisconnected('this process stops');
    this.#timeouts.expireAll();
  }

  #send(call: OutgoingCall, deadlineAt: number, signal?: AbortSignal): Promise<unknown> {
    signal?.throwIfAborted();
    const { clock, driver, contexts } = this.#parts;
    const { pattern, body } = call;
    const away = this.#parts.awayReason();
    if (away !== undefined) this.#refuse(pattern, new ConnectionLostError(pattern, 'unsent', away));
    const timeoutMs = Math.ceil(deadlineAt - this.#now());
    if (timeoutMs <= 0) this.#timeOut(pattern, 0);

    const id = this.#idPrefix + ++this.#idCount;
    const headers = contextHeaders(call.headers, contexts.current());
    const startedAt = clock.monotonic();
    const pending = new Pending(id, pattern, startedAt, () => this.#expire(pending, timeoutMs));
    try {
      driver.request({ id, name: pattern, headers, timeoutMs, body });
    } catch (error) {
      this.#refuse(pattern, isMeshError(error) ? error : new ConnectionLostError(pattern, 'unsent', messageOf(error)));
    }
    this.#pending.set(id, pending);
    this.#timeouts.add(pending, startedAt + timeoutMs);
    if (signal) this.#listen(pending, signal);
    return pending.caller.promise;
  }

  #deadlineAt(timeoutMs: number): number {
    const own = this.#now() + timeoutMs;
    return Math.min(own, this.#parts.contexts.current()?.deadlineAt ?? own);
  }

  #listen(pending: Pending, signal: AbortSignal): void {
    const onAbort = (): void => {
      this.#metricsOf(pending.name).cancelled.inc();
      this.#settle(pending).reject(signal.reason);
      this.#parts.driver.forget?.(pending.id);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    pending.unlisten = () => signal.removeEventListener('abort', onAbort);
  }

  #expire(pending: Pending, timeoutMs: number): void {
    this.#metricsOf(pending.name).timedOut.inc();
    this.#settle(pending).reject(new RequestTimeoutError(pending.name, timeoutMs));
    this.#parts.driver.forget?.(pending.id);
  }

  #fail(pending: Pending, error: unknown): void {
    this.#metricsOf(pending.name).failed.inc();
    this.#settle(pending).reject(error);
  }

  #settle(pending: Pending): PromiseWithResolvers<unknown> {
    this.#metricsOf(pending.name).duration.observe((this.#parts.clock.monotonic() - pending.startedAt) / 1_000);
    return this.#remove(pending);
  }

  #remove(pending: Pending): PromiseWithResolvers<unknown> {
    pending.unlisten?.();
    this.#timeouts.remove(pending);
    this.#pending.delete(pending.id);
    if (this.#pending.size === 0) this.#parts.onIdle();
    return pending.caller;
  }

  #refuse(pattern: string, error: Error): never {
    this.#metricsOf(pattern).refused.inc();
    throw error;
  }

  #timeOut(pattern: string, timeoutMs: number): never {
    this.#metricsOf(pattern).timedOut.inc();
    throw new RequestTimeoutError(pattern, timeoutMs);
  }

  #metricsOf(pattern: string): RequestMetrics {
    let metrics = this.#metrics.get(pattern);
    if (!metrics) this.#metrics.set(pattern, (metrics = this.#parts.metrics.request(pattern)));
    return metrics;
  }

  #now(): number {
    return this.#parts.clock.now();
  }
}

class Pending extends Expiring {
  readonly caller = Promise.withResolvers<unknown>();
  unlisten: (() => void) | undefined = undefined;

  constructor(
    readonly id: string,
    readonly name: string,
    readonly startedAt: number,
    override readonly expire: () => void,
  ) {
    super();
  }
}
