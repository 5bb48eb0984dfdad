import { HttpException } from '@nestjs/common';
import { isObservable } from 'rxjs';
import type { RequestHandler, RequestMessage } from '../../core/broker.port.js';
import type { CallContexts } from '../../core/call-context.js';
import type { Clock } from '../../core/clock.js';
import { IN_PROCESS } from '../../core/in-process.js';
import type { Ids } from '../../core/ids.js';
import type { LiveOptions } from '../../core/live-options.js';
import { isMeshError, type MeshError } from '../../core/mesh.error.js';
import type { MeshEvents } from '../../core/mesh.events.js';
import { toWire } from '../../core/remote.error.js';
import type { Counter, Histogram } from '../../core/metrics.port.js';
import { RequestTimeoutError } from '../broker.errors.js';
import type { BrokerMetrics } from '../broker.metrics.js';
import type { RemoteBrokerOptions } from '../broker.options.js';
import { handlerResult, isPromiseLike } from '../handler-result.js';
import { tooManyRequests } from '../request-checks.js';
import { RouteTable } from '../route-table.js';
import { Expiring, TimeoutList } from '../timeout-list.js';
import { IntakeSlot } from './intake-slot.js';
import { contextOf, HEADER, timeoutOf, type Headers } from './message-headers.js';
import { decodePayload, encodePayload } from './payload.codec.js';
import type { IncomingRequest, TransportDriver, WireReply } from './transport-driver.port.js';
import { errorReply, refusalOf, wireOf } from './wire-error.js';

interface ServerParts {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly events: MeshEvents;
  readonly contexts: CallContexts;
  readonly driver: TransportDriver;
  readonly metrics: BrokerMetrics;
  readonly service: string;
  readonly isDraining: () => boolean;
  readonly onIdle: () => void;
}

interface Route {
  readonly pattern: string;
  readonly name: string;
  readonly handler: RequestHandler;
  readonly slot: IntakeSlot;
  readonly duration: Histogram;
  readonly ok: Counter;
  readonly failed: Counter;
  readonly refused: Counter;
  readonly expired: Counter;
}

/** The handlers of this process that others ask: they run within the caller's remaining time and always answer. */
export class RequestServer {
  readonly #options: LiveOptions<RemoteBrokerOptions>;
  readonly #parts: ServerParts;
  readonly #routes = new RouteTable<Route>();
  readonly #running = new Set<ServedRequest>();
  readonly #timeouts: TimeoutList<ServedRequest>;
  #finished = 0;
  /** When what the connection hands over at the moment began to be handed over, an instant of `monotonic()`. */
  #readAt: number | undefined;

  constructor(options: LiveOptions<RemoteBrokerOptions>, parts: ServerParts) {
    this.#options = options;
    this.#parts = parts;
    this.#timeouts = new TimeoutList(parts.clock);
  }

  get handlers(): ReadonlyMap<string, string> {
    return this.#routes.handlers;
  }

  get running(): ReadonlySet<{ readonly name: string; readonly startedAt: number }> {
    return this.#running;
  }

  get finished(): number {
    return this.#finished;
  }

  get slots(): IntakeSlot[] {
    return [...this.#routes.values()].map(({ slot }) => slot);
  }

  /** The intake of a pattern of our own that is not yet known to be open. */
  opening(pattern: string): Promise<unknown> | undefined {
    return this.#routes.get(pattern)?.slot.opening;
  }

  /** Returns the function that ends it. */
  serve(pattern: string, name: string, handler: RequestHandler): () => Promise<void> {
    const count = (outcome: string): Counter => this.#parts.metrics.counter(pattern, 'serve', outcome);
    const route: Route = {
      pattern,
      name,
      handler,
      slot: new IntakeSlot(`requests of "${pattern}"`, () =>
        this.#parts.driver.serve(pattern, (request) => this.#answer(route, request)),
      ),
      duration: this.#parts.metrics.processing(pattern, 'serve'),
      ok: count('ok'),
      failed: count('failed'),
      refused: count('refused'),
      expired: count('expired'),
    };
    const leave = this.#routes.claim(pattern, route);
    return () => {
      leave();
      return route.slot.stop();
    };
  }

  /** Leaves no timer behind; what runs is not waited for. */
  stop(): void {
    this.#timeouts.expireAll();
  }

  /** Never in more turns than the handler itself takes: answers to what arrived together leave together. */
  #answer(route: Route, request: IncomingRequest): void {
    const { requestTimeoutMs, maxInFlight } = this.#options.current;
    const { pattern } = route;
    if (request.headers[HEADER.probe] !== undefined) return this.#reply(route, request, answered(undefined));
    const startedAt = this.#parts.clock.monotonic();
    const givenMs = request.timeoutMs ?? timeoutOf(request.headers, requestTimeoutMs);
    const timeoutMs = givenMs - this.#waitedMs(startedAt);
    if (timeoutMs <= 0) {
      route.expired.inc();
      return this.#reply(route, request, this.#refusal(new RequestTimeoutError(pattern, 0)));
    }
    if (this.#running.size >= maxInFlight) {
      route.refused.inc();
      return this.#reply(route, request, this.#refusal(tooManyRequests(pattern, maxInFlight)));
    }
    let payload: unknown;
    try {
      payload = decodePayload(request.body);
    } catch (error) {
      route.refused.inc();
      return this.#reply(route, request, this.#refusal(error as MeshError));
    }
    this.#handle(route, request, { payload, timeoutMs, startedAt });
  }

  /**
   * How long the request waited behind those that were read together with it, whose handlers blocked the event loop; known
   * where the client hands these over in one go. How long it lay unread is not known: no two clocks agree.
   */
  #waitedMs(now: number): number {
    if (this.#readAt !== undefined) return now - this.#readAt;
    this.#readAt = now;
    // What is read after that may have arrived after that.
    queueMicrotask(() => (this.#readAt = undefined));
    return 0;
  }

  #handle(
    route: Route,
    request: IncomingRequest,
    {
      payload,
      timeoutMs,
      startedAt,
    }: { readonly payload: unknown; readonly timeoutMs: number; readonly startedAt: number },
  ): void {
    const { clock, contexts } = this.#parts;
    const { headers, id = route.pattern } = request;
    const deadlineAt = clock.now() + timeoutMs;
    const served = new ServedRequest(route, headers, { deadlineAt, startedAt });
    this.#running.add(served);
    this.#timeouts.add(served, startedAt + timeoutMs);
    const succeed = (value: unknown): void => {
      let reply: WireReply;
      try {
        reply = answered(value);
      } catch (error) {
        return fail(error);
      }
      route.ok.inc();
      this.#end(served, route);
      this.#reply(route, request, reply);
    };
    const fail = (error: unknown): void => {
      route.failed.inc();
      this.#end(served, route);
      this.#reply(route, request, this.#failure(route, request, error));
    };
    try {
      const context = { ...contextOf(headers, id), deadlineAt };
      const returned: unknown = contexts.run(context, () => route.handler(payload as never, served));
      if (isObservable(returned)) handlerResult(returned).then(succeed, fail);
      else if (isPromiseLike(returned))
        returned.then(
          (value) => (isObservable(value) ? handlerResult(value).then(succeed, fail) : succeed(value)),
          fail,
        );
      else succeed(returned);
    } catch (error) {
      fail(error);
    }
  }

  #end(served: ServedRequest, { duration }: Route): void {
    duration.observe((this.#parts.clock.monotonic() - served.startedAt) / 1_000);
    this.#timeouts.remove(served);
    this.#running.delete(served);
    this.#finished++;
    // One turn later: the answer is written first. Only for a drain, since an extra turn for each request would be felt.
    if (this.#running.size === 0 && this.#parts.isDraining()) setImmediate(this.#parts.onIdle);
  }

  /** An answer that the transport refuses, being too large, becomes an error: better than the caller's timeout. */
  #reply(route: Route, request: IncomingRequest, reply: WireReply): void {
    const onFailure = (error: unknown): void => {
      const again = isMeshError(error) && reply.ok;
      if (again) return this.#reply(route, request, errorReply(toWire(error, this.#parts.service)));
      const what = `the answer to "${route.pattern}"`;
      this.#parts.events.emit('broker.transport-failed', { transport: this.#parts.driver.name, what, error });
    };
    try {
      const sent = request.reply(reply);
      if (sent) sent.catch(onFailure);
    } catch (error) {
      onFailure(error);
    }
  }

  #failure({ pattern, name }: Route, { headers, id = pattern }: IncomingRequest, error: unknown): WireReply {
    const { service, ids, events, contexts } = this.#parts;
    const reference = ids.next();
    // Its caller learns a reference instead of the message, which must lead somewhere. A 4xx is told as it is.
    if (!isMeshError(error) && !(error instanceof HttpException && error.getStatus() < 500))
      contexts.run(contextOf(headers, id), () =>
        events.emit('broker.handler-failed', { topic: pattern, handler: name, error, messageId: reference }),
      );
    return errorReply(wireOf(error, { service, reference, exposeErrors: this.#options.current.exposeErrors }));
  }

  #refusal(error: MeshError): WireReply {
    return errorReply(refusalOf(error, this.#parts.service));
  }
}

/** A request whose handler runs: the second argument of that handler. */
class ServedRequest extends Expiring implements RequestMessage {
  readonly deadlineAt: number;
  readonly startedAt: number;
  readonly #route: Route;
  #abort: AbortController | undefined = undefined;
  #overdue = false;

  constructor(
    route: Route,
    readonly headers: Headers,
    { deadlineAt, startedAt }: { readonly deadlineAt: number; readonly startedAt: number },
  ) {
    super();
    this.#route = route;
    this.deadlineAt = deadlineAt;
    this.startedAt = startedAt;
  }

  get pattern(): string {
    return this.#route.pattern;
  }

  get name(): string {
    return this.#route.name;
  }

  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#overdue) this.#abort.abort(this.#reason());
    }
    return this.#abort.signal;
  }

  /** The broker itself writes the error for the wire, so the filters let it pass as it is. */
  get [IN_PROCESS](): true {
    return true;
  }

  override expire(): void {
    this.#overdue = true;
    this.#abort?.abort(this.#reason());
  }

  #reason(): Error {
    return new RequestTimeoutError(this.pattern, 0);
  }
}

function answered(value: unknown): WireReply {
  return { ok: true, body: encodePayload(value) };
}
