import type { ComponentState } from './component.port.js';
import type { BreakerState } from './policy.port.js';
import type { HealthGroup, HealthState, HealthStatus } from './health.port.js';

/** Every event of the mesh by name. A room appends its own here, because metrics and logs read them without importing the room. */
export interface MeshEventMap {
  /** A circuit breaker changed its state. `key` is set for keyed breakers; `openMs` when it opened. */
  'breaker.transition': {
    readonly policy: string;
    readonly key?: string;
    readonly from: BreakerState;
    readonly to: BreakerState;
    readonly reason: string;
    readonly calls: number;
    readonly failures: number;
    readonly openMs?: number;
  };
  /** The cache by which instances tell each other of their breakers fails, or answers again. No call depends on it. */
  'breaker.sharing': { readonly state: 'up' | 'away'; readonly error?: unknown };
  /** What a policy does with a call, outermost first: told once, when the application has started. */
  'policy.resolved': { readonly policy: string; readonly order: string; readonly origin?: string };
  /** A policy refused calls without running them. At most one event a second a policy and outcome; `count` tells of how many it speaks. */
  'call.rejected': {
    readonly policy: string;
    readonly key?: string;
    readonly outcome: string;
    readonly count: number;
  };
  /** A failed attempt is repeated after `delayMs`. */
  'call.retry': {
    readonly policy: string;
    /** The attempt that failed, from 1. */
    readonly attempt: number;
    readonly delayMs: number;
    /** Absent when a returned value counted as the failure. */
    readonly error?: unknown;
  };
  /** A failure that could be repeated is final, because the retry budget of the policy is used up. */
  'call.retry-budget-exhausted': { readonly policy: string; readonly attempt: number };
  /** A slow call got an extra attempt beside the running one. */
  'call.hedge': { readonly policy: string; readonly attempt: number; readonly afterMs: number };
  /** An attempt was given up after `afterMs`; its function may still run. */
  'call.timeout': { readonly policy: string; readonly attempt: number; readonly afterMs: number };
  /** A function settled after its attempt was given up; nobody got the result. */
  'call.late': {
    readonly policy: string;
    readonly attempt: number;
    readonly afterMs: number;
    readonly failed: boolean;
  };
  /** A fallback answered for a failed call. */
  'call.fallback': { readonly policy: string; readonly error: unknown };
  /** A fault was injected into an attempt, on purpose. */
  'call.fault': { readonly policy: string; readonly attempt: number; readonly kind: 'error' | 'delay' | 'hang' };
  /** Faults that the configuration asks for are injected from now on, until `until` (epoch ms), or no longer. */
  'policy.fault': {
    readonly policy: string;
    readonly state: 'on' | 'off';
    /** As `errors 30 %, delay 200 ms`. */
    readonly what: string;
    readonly until?: number;
    /** Why they ended. */
    readonly reason?: string;
  };
  /** A predicate of the user threw; the error that it was asked about counts as a failure. */
  'policy.predicate-failed': { readonly policy: string; readonly predicate: string; readonly error: unknown };
  /** New options took effect; running calls finish with the old ones, breakers keep their state. */
  'policy.changed': {
    readonly policy: string;
    readonly changes: readonly { readonly path: string; readonly from: unknown; readonly to: unknown }[];
  };
  /** New options of a policy can't work with its declaration; it keeps the old ones. */
  'policy.rejected': { readonly policy: string; readonly error: unknown };
  /** A component of the lifecycle finished a step, or failed in it. */
  'lifecycle.step': {
    readonly component: string;
    readonly step: 'start' | 'drain' | 'stop';
    readonly outcome: 'ok' | 'failed';
    readonly durationMs: number;
    readonly error?: unknown;
    /** At start: how long it waited for its dependencies, and which of them came up last. */
    readonly waitedMs?: number;
    readonly waitedFor?: string;
  };
  /** A component went from one state of its life to the next. */
  'lifecycle.state': { readonly component: string; readonly from: ComponentState; readonly to: ComponentState };
  /** The mesh as a whole entered a phase; `durationMs` is what the phase before it took. */
  'lifecycle.phase': { readonly phase: MeshPhase; readonly durationMs: number; readonly reason?: string };
  /** A phase of the shutdown is over. The counts are of work in flight: HTTP requests and whatever else drains. */
  'lifecycle.shutdown-phase': {
    readonly phase: ShutdownPhase;
    readonly durationMs: number;
    readonly inFlightBefore: number;
    readonly inFlightAfter: number;
    /** What did not finish by itself, by name. */
    readonly unfinished: readonly string[];
  };
  /** The shutdown took longer than its budget; `hanging` says who. */
  'lifecycle.overrun': { readonly totalMs: number; readonly phase: ShutdownPhase; readonly hanging: readonly string[] };
  /** Something about the life of this application is not as it should be, and how to set it right. */
  'lifecycle.warning': { readonly message: string };
  /** Probes, metrics and operators' endpoints listen on a port of their own. */
  'ops.listening': { readonly host: string; readonly port: number };
  /** An operator changed something through the ops endpoints, or tried to: `status` is what was answered. */
  'ops.write': {
    /** By what right, and the name that was given with it: `write token (alice)`. */
    readonly who: string;
    /** As `isolate breaker "payments.charge" for 60000 ms: provider is down`. */
    readonly what: string;
    readonly path: string;
    readonly status: number;
  };
  /** So many wrong tokens came from an address that the ops endpoints listen to nobody from there for a while. */
  'ops.locked-out': { readonly remoteAddress: string };
  /** A raw route threw; the caller got a 500. */
  'http.raw-route-failed': { readonly method: string; readonly path: string; readonly error: unknown };
  /** A message handler of an event failed; nobody waits for its answer, so this is the only trace of it. */
  'broker.handler-failed': {
    readonly topic: string;
    readonly handler: string;
    readonly error: unknown;
    readonly messageId?: string;
    readonly attempt?: number;
    /** Milliseconds until the next delivery; absent when there is none. */
    readonly retryInMs?: number;
  };
  /** A message was given up after its last delivery; `kept` is false when the list of dead letters had to drop one for it. */
  'broker.dead-lettered': {
    readonly topic: string;
    readonly handler: string;
    readonly messageId: string;
    readonly attempts: number;
    readonly kept: boolean;
    readonly error: unknown;
  };
  /** The connection to the message broker is there, or away; it is tried again for ever. */
  'broker.connection': { readonly transport: string; readonly state: 'up' | 'away'; readonly reason: string };
  /** The store of `dedupe` does not answer; messages are handled all the same, some perhaps twice. */
  'broker.dedupe-unavailable': { readonly topic: string; readonly handler: string; readonly error: unknown };
  /** Something went wrong inside a transport that no caller waits for: an answer that could not be sent, a lost settlement. */
  'broker.transport-failed': { readonly transport: string; readonly what: string; readonly error: unknown };
  /** The broker finished its drain; what it abandoned is lost with this process. */
  'broker.drained': {
    readonly finished: number;
    readonly abandoned: readonly { readonly name: string; readonly ageMs: number }[];
    readonly durationMs: number;
  };
  /** The cache's second tier is away, or used again. `queued`: writes that wait for it. */
  'cache.second-tier': { readonly state: 'up' | 'away'; readonly reason: string; readonly queued: number };
  /** A health contributor changed its status. */
  'health.transition': {
    readonly contributor: string;
    readonly from: HealthState;
    readonly to: HealthState;
    readonly reason?: string;
  };
  /** What the probe of a built-in health group answers has changed. `reason` names the part that made it so. */
  'health.group': {
    readonly group: HealthGroup;
    readonly from: HealthStatus;
    readonly to: HealthStatus;
    readonly reason?: string;
    /** The shutdown has begun: the readiness goes down on purpose. */
    readonly draining?: true;
  };
  /** A metric reached its limit of label sets; further ones are counted in its `__other__` series. Once a metric. */
  'metrics.overflow': { readonly metric: string; readonly limit: number };
  /** Another implementation took the place of a part while the application ran. `leftovers`: failures while the old one was let go. */
  'component.replaced': {
    readonly component: string;
    readonly from: string;
    readonly to: string;
    readonly durationMs: number;
    readonly leftovers: number;
  };
  /** A configuration update took effect. */
  'config.changed': {
    /** The generation that is now in force. */
    readonly generation: number;
    /** Who asked for it: `ops`, `file /etc/mesh.yaml`. */
    readonly source: string;
    readonly changes: readonly ConfigChange[];
  };
  /** A configuration update was refused and changed nothing. */
  'config.rejected': {
    /** The generation that stays in force. */
    readonly generation: number;
    readonly source: string;
    readonly code: string;
    readonly reason: string;
    readonly changes: readonly ConfigChange[];
  };
  /** A configuration update was taken back: what it changed has its previous value again. */
  'config.rolled-back': {
    readonly generation: number;
    readonly source: string;
    /** The component that failed with the new configuration. */
    readonly culprit: string;
    readonly reason: string;
    /** What the update had changed. */
    readonly changes: readonly ConfigChange[];
  };
}

/** One leaf of the configuration before and after, with secrets masked. */
export interface ConfigChange {
  readonly path: string;
  readonly from: unknown;
  readonly to: unknown;
  readonly update: 'live' | 'swap' | 'restart';
}

/** Where the mesh is in its life. */
export type MeshPhase = 'starting' | 'ready' | 'draining' | 'stopping' | 'stopped' | 'failed';

/**
 * The phases of a shutdown in their order. `start`: it came during the start and waits until that can be called off.
 * `hooks`: the user's own Nest hooks, with the mesh still usable.
 */
export type ShutdownPhase = 'start' | 'pre-stop' | 'intake' | 'drain' | 'abort' | 'hooks' | 'components' | 'flush';

export type MeshEventName = keyof MeshEventMap;

type Listener<N extends MeshEventName> = (event: MeshEventMap[N]) => void;
type AnyListener = <N extends MeshEventName>(name: N, event: MeshEventMap[N]) => void;

/**
 * The one bus of the mesh's cold path: transitions, rejections, configuration, lifecycle. Delivery is synchronous; a
 * listener that throws or rejects never touches the emitter nor the other listeners.
 */
export class MeshEvents {
  readonly #listeners = new Map<MeshEventName, Set<Listener<never>>>();
  readonly #any = new Set<AnyListener>();
  readonly #onListenerError: (error: unknown) => void;

  constructor(onListenerError: (error: unknown) => void = () => undefined) {
    this.#onListenerError = onListenerError;
  }

  /** Listens to one event. Returns the function that stops listening. */
  on<N extends MeshEventName>(name: N, listener: Listener<N>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener as Listener<never>);
    return () => void listeners.delete(listener as Listener<never>);
  }

  /** Listens to every event. Returns the function that stops listening. */
  onAny(listener: AnyListener): () => void {
    this.#any.add(listener);
    return () => void this.#any.delete(listener);
  }

  emit<N extends MeshEventName>(name: N, event: MeshEventMap[N]): void {
    const listeners = this.#listeners.get(name) as Set<Listener<N>> | undefined;
    if (listeners) for (const listener of listeners) this.#guard(() => listener(event));
    for (const listener of this.#any) this.#guard(() => listener(name, event));
  }

  /** How many listeners there are, of one event or in all: for leak checks. */
  listenerCount(name?: MeshEventName): number {
    if (name) return this.#listeners.get(name)?.size ?? 0;
    return [...this.#listeners.values()].reduce((sum, set) => sum + set.size, this.#any.size);
  }

  #guard(run: () => unknown): void {
    try {
      const result = run();
      if (result instanceof Promise) result.catch(this.#onListenerError);
    } catch (error) {
      this.#onListenerError(error);
    }
  }
}
