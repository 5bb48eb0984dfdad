import type { CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { MeshEventMap, MeshEvents } from '../core/mesh.events.js';
import type { Counter, Histogram } from '../core/metrics.port.js';
import { showable } from '../core/showable.js';
import type { FaultKind } from './faults/fault.js';
import type { PolicyEvent } from './policy-description.js';
import { RefusalTally } from './refusal-tally.js';
import { EVENT_RING_SIZE } from './resilience.constants.js';
import type { ResilienceMetrics } from './resilience.metrics.js';

/** How a call ended, as the metrics tell it. */
export type Outcome =
  | 'success'
  | 'failure'
  | 'ignored'
  | 'timeout'
  | 'deadline'
  | 'open'
  | 'isolated'
  | 'bulkhead'
  | 'ratelimit'
  | 'cancelled'
  | 'draining'
  | 'fallback';

interface ObserverEngine {
  readonly clock: Clock;
  readonly contexts: CallContexts;
  readonly events: MeshEvents;
  readonly metrics: ResilienceMetrics;
}

type PolicyEventName = Extract<keyof MeshEventMap, `call.${string}` | `policy.${string}` | `breaker.${string}`>;

/** What only a policy has to which something else happened than success. */
class Rest {
  readonly others: Partial<Record<Outcome, Counter>> = {};
  readonly ring: PolicyEvent[] = [];
  refusals: RefusalTally | undefined;
  transitioned = false;
}

/** Tells the outside what one policy does: bound metric handles for every call, events for what is rare. */
export class PolicyObserver {
  // Bound when they first count something: most policies only ever succeed.
  #successes: Counter | undefined;
  #durations: Histogram | undefined;
  #rest: Rest | undefined;

  constructor(
    private readonly policy: string,
    private readonly engine: ObserverEngine,
  ) {}

  count(outcome: Outcome): void {
    const { metrics } = this.engine;
    try {
      if (outcome === 'success') (this.#successes ??= metrics.calls.with({ policy: this.policy, outcome })).inc();
      else (this.#ensureRest().others[outcome] ??= metrics.calls.with({ policy: this.policy, outcome })).inc();
    } catch (error) {
      metrics.failed(error);
    }
  }

  /** Only functions that ran have a duration: refusals would hide a slow callee behind their zeros. */
  observeDuration(ms: number): void {
    const { metrics } = this.engine;
    try {
      (this.#durations ??= metrics.durations.with({ policy: this.policy })).observe(ms / 1_000);
    } catch (error) {
      metrics.failed(error);
    }
  }

  countRetry(): void {
    this.#count(({ retries }) => retries.with({ policy: this.policy }));
  }

  countHedge(): void {
    this.#count(({ hedges }) => hedges.with({ policy: this.policy }));
  }

  /** A fault was injected into an attempt. */
  injected(kind: FaultKind, attempt: number): void {
    this.#count(({ faults }) => faults.with({ policy: this.policy, kind }));
    this.emit('call.fault', { policy: this.policy, attempt, kind });
  }

  /** Whether a breaker of it has ever left `closed`. */
  get hasTransitioned(): boolean {
    return this.#rest?.transitioned ?? false;
  }

  countTransition(from: string, to: string): void {
    this.#ensureRest().transitioned = true;
    this.#count(({ transitions }) => transitions.with({ policy: this.policy, from, to }));
  }

  /** Tells of refused calls once a second an outcome, not once a call. */
  rejected(outcome: Outcome, key: string | undefined, now: number): void {
    const rest = this.#ensureRest();
    rest.refusals ??= new RefusalTally(this.engine, (refusals) =>
      this.emit('call.rejected', {
        policy: this.policy,
        outcome: refusals.outcome,
        count: refusals.count,
        ...(refusals.key !== undefined && { key: refusals.key }),
      }),
    );
    rest.refusals.add(outcome, key, now);
  }

  /** Tells of what it has not told yet. */
  dispose(): void {
    this.#rest?.refusals?.dispose();
  }

  emit<N extends PolicyEventName>(name: N, event: MeshEventMap[N]): void {
    const { ring } = this.#ensureRest();
    if (ring.length === EVENT_RING_SIZE) ring.shift();
    ring.push({ at: this.engine.clock.now(), name, event: kept(event) });
    this.engine.events.emit(name, event);
  }

  /** The last hundred events, oldest first. */
  get recent(): readonly PolicyEvent[] {
    return [...(this.#rest?.ring ?? [])];
  }

  #count(counterOf: (metrics: ResilienceMetrics) => Counter): void {
    const { metrics } = this.engine;
    try {
      counterOf(metrics).inc();
    } catch (error) {
      metrics.failed(error);
    }
  }

  #ensureRest(): Rest {
    return (this.#rest ??= new Rest());
  }
}

const BRIEF = { maxDepth: 1, maxItems: 10, text: (text: string): string => text };

/** The event without its error itself: that may hold a whole request with its answer, and may be changed later. */
function kept(event: object): object {
  const { error } = event as { readonly error?: unknown };
  if (typeof error !== 'object' || error === null) return event;
  try {
    return { ...event, error: showable(error, BRIEF) };
  } catch {
    return { ...event, error: '[unreadable]' };
  }
}
