import type { CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { Ids } from '../core/ids.js';
import type { MeshEvents } from '../core/mesh.events.js';
import type { MetricsClient } from '../core/metrics.port.js';
import type { ServiceInfo } from '../core/service-info.js';
import type { DedupeStore } from './dedupe/dedupe.store.js';
import type { PolicyFor } from './request-desk.js';

/** What a broker works with. */
export interface BrokerCollaborators {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly events: MeshEvents;
  readonly metrics: MetricsClient;
  readonly contexts: CallContexts;
  readonly service: ServiceInfo;
  /** The policy that requests of a pattern run through, when there is one. */
  readonly policyFor?: PolicyFor;
  /** What `dedupe` remembers with. @default memory */
  readonly dedupe?: DedupeStore;
}
