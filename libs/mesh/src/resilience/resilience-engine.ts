import type { CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { Ids } from '../core/ids.js';
import type { MeshEvents } from '../core/mesh.events.js';
import type { MetricsClient } from '../core/metrics.port.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import { DeadlineQueue } from './deadline-queue.js';
import { ResilienceMetrics } from './resilience.metrics.js';

export interface ResilienceDeps {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly events: MeshEvents;
  readonly metrics: MetricsClient;
  readonly contexts: CallContexts;
}

/** What all policies of one application share. */
export class ResilienceEngine {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly events: MeshEvents;
  readonly contexts: CallContexts;
  readonly metrics: ResilienceMetrics;
  readonly queue: DeadlineQueue;
  /** Nothing new begins. */
  draining = false;
  /** Is told of each breaker that opens. */
  onOpened: ((breaker: CircuitBreaker) => void) | undefined;

  constructor(deps: ResilienceDeps) {
    this.clock = deps.clock;
    this.ids = deps.ids;
    this.events = deps.events;
    this.contexts = deps.contexts;
    this.metrics = new ResilienceMetrics(deps.metrics);
    this.queue = new DeadlineQueue(deps.clock);
  }
}
