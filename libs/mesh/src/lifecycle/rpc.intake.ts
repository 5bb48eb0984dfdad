import type { ModulesContainer } from '@nestjs/core';
import { throwError } from 'rxjs';
import type { CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { Ids } from '../core/ids.js';
import type { LiveOptions } from '../core/live-options.js';
import { DrainingError } from '../core/mesh.errors.js';
import type { Tracer } from '../core/trace-context.js';
import type { Drainable } from './drainable.js';
import { InFlight } from './in-flight.js';
import { inboundContext } from './inbound-context.js';
import type { LifecycleOptions } from './lifecycle.options.js';
import { rpcHeaders } from './rpc-headers.js';
import { unlessAborted } from './step.js';

/** `Transport.TCP`, of which the package is not loaded for an application without microservices. */
const TCP = 0;
/** `Transport.GRPC`. */
const GRPC = 4;
/** `Transport.KAFKA`. */
const KAFKA = 6;
/** How long the last answers over gRPC may take to leave. */
const LET_OUT_MS = 1_000;

type StartHook = (this: unknown, transport: unknown, context: unknown, done: () => Promise<unknown>) => unknown;
type EndHook = (this: unknown, transport: unknown, context: unknown) => void;
type Handler = ((...args: unknown[]) => unknown) & { readonly isEventHandler?: boolean };

/** What Nest's `Server` offers; a strategy of the user's own that does not extend it is left alone. */
interface RpcServer {
  readonly transportId?: unknown;
  readonly onProcessingStartHook?: StartHook;
  readonly onProcessingEndHook?: EndHook;
  setOnProcessingStartHook(hook: StartHook): void;
  setOnProcessingEndHook(hook: EndHook): void;
  getHandlers(): Map<string, Handler>;
  unwrap?(): unknown;
  close(): unknown;
  /** Nest's gRPC server keeps its own to itself. */
  readonly grpcClient?: { tryShutdown(done: () => void): void } | null;
}

export interface RpcIntakeDependencies {
  readonly contexts: CallContexts;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly options: LiveOptions<LifecycleOptions>;
  /** Tells which span a message runs in, where spans are recorded. */
  readonly tracer?: Tracer | undefined;
}

/**
 * The messages that Nest's own transports bring in (`createMicroservice`, `connectMicroservice`): opens their call
 * context, counts what is in flight and drains it. Nest by itself closes a transport under its running handlers, whose
 * callers then get no reply.
 */
export class RpcIntake implements Drainable {
  readonly name = 'rpc';
  readonly #deps: RpcIntakeDependencies;
  readonly #servers = new Set<RpcServer>();
  readonly #running = new InFlight();
  /** Consumers on their way out of their groups. */
  readonly #leaving: Promise<unknown>[] = [];

  constructor(deps: RpcIntakeDependencies) {
    this.#deps = deps;
  }

  /** Hooks into every transport that the application has or gets. */
  install(modules: ModulesContainer): void {
    modules.getRpcTargetRegistry<RpcServer>().subscribe((server) => {
      const ofTheMesh =
        typeof server.transportId === 'symbol' && server.transportId.description?.startsWith('nestjs-mesh');
      if (!ofTheMesh && typeof server.setOnProcessingStartHook === 'function') this.#hook(server);
    });
  }

  get inFlight(): number {
    return this.#running.count;
  }

  connected(): Promise<boolean> {
    return Promise.resolve(this.#servers.size > 0);
  }

  /**
   * New requests get a retryable {@link DrainingError}. Events are still taken where nobody would send them again: a
   * consumer of Kafka leaves its group, whose other members get what it has not begun.
   */
  stopIntake(): void {
    for (const server of this.#servers) this.#takeNoMore(server);
  }

  async drained(signal: AbortSignal): Promise<void> {
    await this.#running.none(signal);
    // What was handled is not handled again by those who take over.
    await unlessAborted(Promise.all(this.#leaving), signal);
    // The end of processing comes before the reply is written.
    await nextTurn();
  }

  #hook(server: RpcServer): void {
    this.#servers.add(server);
    let start = server.onProcessingStartHook ?? ((_transport, _context, done) => done());
    let end = server.onProcessingEndHook;
    server.setOnProcessingStartHook((transport, context, done) => {
      this.#running.begin();
      return this.#deps.contexts.run(
        inboundContext(rpcHeaders(context), this.#deps.clock, this.#deps.ids, this.#deps.tracer?.active()),
        () => start.call(server, transport, context, done),
      );
    });
    server.setOnProcessingEndHook((transport, context) => {
      this.#running.end();
      end?.call(server, transport, context);
    });
    // Each slot holds one hook: a host that sets its own later would remove ours without a word.
    server.setOnProcessingStartHook = (hook) => void (start = hook);
    server.setOnProcessingEndHook = (hook) => void (end = hook);

    // `app.close()` of a pure microservice closes the transport before any hook of Nest's.
    const close = server.close.bind(server);
    server.close = async () => {
      if (this.#running.count > 0) await this.#drainBeforeClose(server);
      if (server.transportId === GRPC) await this.#letOut(server);
      return close();
    };
  }

  #takeNoMore(server: RpcServer): void {
    if (server.transportId === TCP) stopListening(server);
    if (server.transportId === KAFKA) this.#leaving.push(leaveGroup(server));
    else refuseRequests(server.getHandlers());
  }

  /** Nest cuts the connections of gRPC with the last answers not yet written, unless it is told to be graceful. */
  async #letOut({ grpcClient }: RpcServer): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#deps.clock.setTimer(resolve, LET_OUT_MS, { keepAlive: true });
    if (grpcClient) grpcClient.tryShutdown(resolve);
    else resolve();
    await promise;
    timer.cancel();
  }

  async #drainBeforeClose(server: RpcServer): Promise<void> {
    this.#takeNoMore(server);
    const limit = new AbortController();
    const { drainMs } = this.#deps.options.current.shutdown;
    const timer = this.#deps.clock.setTimer(() => limit.abort(), drainMs, { keepAlive: true });
    // Past the limit the transport closes all the same, as it would without the mesh.
    await this.drained(limit.signal).catch(() => undefined);
    timer.cancel();
  }
}

function refuseRequests(handlers: Map<string, Handler>): void {
  for (const [pattern, handler] of handlers) {
    if (handler.isEventHandler) continue;
    const refuse = (): unknown => throwError(() => new DrainingError(`The request "${pattern}"`).getResponse());
    handlers.set(pattern, Object.assign(refuse, handler));
  }
}

function stopListening(server: RpcServer): void {
  try {
    (server.unwrap?.() as { close?(): void } | undefined)?.close?.();
  } catch {
    // It never listened: Nest's server says so by throwing, and there is nothing to stop.
  }
}

/** Resolves when what it has begun is done, and the group knows. */
async function leaveGroup(server: RpcServer): Promise<void> {
  try {
    const parts = server.unwrap?.() as
      readonly [client: unknown, consumer: { stop(): Promise<void> } | null] | undefined;
    await parts?.[1]?.stop();
  } catch {
    // It never listened, or its group is out of reach and will notice by itself.
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
