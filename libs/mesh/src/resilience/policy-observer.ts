import type { Clock } from '../core/clock.js';
import type { MeshEventMap, MeshEvents } from '../core/mesh.events.js';
import type { Counter, Histogram } from '../core/metrics.port.js';
import type { PolicyEvent } from './policy-description.js';
import { EVENT_RING_SIZE, REJECTION_SAMPLE_MS } from './resilience.constants.js';
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

type PolicyEventName = Extract<keyof MeshEventMap, `call.${string}` | `policy.${string}` | `breaker.${string}`>;

/** Tells the outside what one policy does: bound metric handles for every call, events for what is rare. */
export class PolicyObserver {
  readonly #counters: Partial<Record<Outcome, Counter>> = {};
  #successes: Counter | undefined;
  #durations: Histogram | undefined;
  #retries: Counter | undefined;
  #hedges: Counter | undefined;
  #ring: PolicyEvent[] | undefined;
  #rejections = 0;
  #rejectionAt = -Infinity;

  constructor(
    private readonly policy: string,
    private readonly metrics: ResilienceMetrics,
    private readonly events: MeshEvents,
    private readonly clock: Clock,
  ) {}

  countSuccess(): void {
    (this.#successes ??= this.metrics.calls.with({ policy: this.policy, outcome: 'success' })).inc();
  }

  count(outcome: Outcome): void {
    if (outcome === 'success') this.countSuccess();
    else (this.#counters[outcome] ??= this.metrics.calls.with({ policy: this.policy, outcome })).inc();
  }

  /** Only functions that ran have a duration: refusals would hide a slow callee behind their zeros. */
  observeDuration(ms: number): void {
    (this.#durations ??= this.metrics.durations.with({ policy: this.policy })).observe(ms / 1_000);
  }

  countRetry(): void {
    (this.#retries ??= this.metrics.retries.with({ policy: this.policy })).inc();
  }

  countHedge(): void {
    (this.#hedges ??= this.metrics.hedges.with({ policy: this.policy })).inc();
  }

  countTransition(from: string, to: string): void {
    this.metrics.transitions.with({ policy: this.policy, from, to }).inc();
  }

  /** Tells of refused calls once a second, not once a call. */
  rejected(outcome: Outcome, key: string | undefined, now: number): void {
    this.#rejections++;
    if (now - this.#rejectionAt < REJECTION_SAMPLE_MS) return;
    this.#rejectionAt = now;
    const count = this.#rejections;
    this.#rejections = 0;
    this.emit('call.rejected', { policy: this.policy, outcome, count, ...(key !== undefined && { key }) });
  }

  emit<N extends PolicyEventName>(name: N, event: MeshEventMap[N]): void {
    const ring = (this.#ring ??= []);
    if (ring.length === EVENT_RING_SIZE) ring.shift();
    ring.push({ at: this.clock.now(), name, event });
    this.events.emit(name, event);
  }

  /** The last hundred events, oldest first. */
  get recent(): readonly PolicyEvent[] {
    return [...(this.#ring ?? [])];
  }
}
