export { MeshModule } from './mesh.module.js';
export { ServiceMesh } from './service-mesh.js';
export type { MeshConfig, MeshOptions } from './mesh.options.js';
export type { MeshExtras, Replacement } from './replacements.js';

export { enableMeshShutdown } from './lifecycle/enable-mesh-shutdown.js';
export { MeshComponent, type MeshComponentOptions } from './lifecycle/mesh-component.decorator.js';
export type { SignalShutdownOptions } from './lifecycle/signal-shutdown.js';
export type { Drainable } from './lifecycle/drainable.js';
export type { JobHeaders } from './lifecycle/job.intake.js';
export type { ComponentReport } from './lifecycle/lifecycle.report.js';
export {
  ComponentGraphError,
  ComponentStartError,
  StartAbortedError,
  StepTimeoutError,
} from './lifecycle/lifecycle.errors.js';
export { MESH_COMPONENTS } from './lifecycle/component.explorer.js';
export type {
  ComponentChange,
  ComponentContext,
  ComponentTimeouts,
  PreparedReconfiguration,
  StopContext,
} from './core/component.port.js';
export { MeshLifecycle, type ShutdownRequest } from './lifecycle/mesh-lifecycle.js';

export type { BreakerSnapshot, PolicyDescription, PolicyEvent, PolicyValue } from './resilience/policy-description.js';
export type { BreakerControl, HoldOptions } from './resilience/breaker-control.js';
export type { Fault, FaultPlan, FaultView } from './resilience/faults/fault.js';
export type { CallHooks, CallOptions } from './resilience/call-hooks.js';
export { pipeline, PolicyBuilder } from './resilience/policy-builder.js';
export { ResiliencePolicy } from './resilience/resilience-policy.js';
export type {
  BulkheadOptions,
  CircuitBreakerOptions,
  FaultOptions,
  HedgeOptions,
  PolicyDeclaration,
  PolicyOptions,
  PolicyPredicates,
  RateLimitOptions,
  ResilienceOptions,
  RetryOptions,
} from './resilience/resilience.options.js';
export {
  AttemptTimeoutError,
  BulkheadFullError,
  CancelledError,
  CircuitIsolatedError,
  CircuitOpenError,
  DeadlineExceededError,
  InjectedFaultError,
  RateLimitedError,
} from './resilience/resilience.errors.js';
export { wrapClient, type WrapOptions } from './resilience/wrap-client.js';
export { observeThrough, type ObservableCallOptions, type StreamSuccess } from './resilience/observable-call.js';
export type {
  CircuitBreakerDecoratorOptions,
  RetryDecoratorOptions,
  TimeoutDecoratorOptions,
} from './resilience/decorators/protection.decorators.js';
export type { FallbackOptions } from './resilience/decorators/fallback.decorator.js';
export type { ResilientOptions } from './resilience/decorators/resilient.decorator.js';
export { MeshExceptionFilter } from './resilience/filters/mesh-exception.filter.js';
export { type MeshErrorWire, RemoteError, reviveError, reviveErrors } from './resilience/filters/remote.error.js';
export { MeshFetch, type MeshFetchInit, type ReadingInit } from './resilience/http/mesh-fetch.js';
export { UpstreamStatusError } from './resilience/http/upstream-status.error.js';
export { callSignal, currentAttempt } from './resilience/call-signal.js';
export { attemptsOf, isCalleeFailure, isFallbackWorthy, isUnsent } from './resilience/error-classification.js';
export { CircuitBreakerManager, type SharingOptions } from './resilience/circuit-breaker.manager.js';
export { Fallback } from './resilience/decorators/fallback.decorator.js';
export { Bulkhead, CircuitBreaker, RateLimit, Retry, Timeout } from './resilience/decorators/protection.decorators.js';
export { Resilient } from './resilience/decorators/resilient.decorator.js';

export { CacheEvict, CachePut } from './cache/decorators/cache-write.decorators.js';
export { HttpCache } from './cache/http/http-cache.decorator.js';
export type { HttpCacheOptions } from './cache/http/http-cache.options.js';
export { Cacheable } from './cache/decorators/cacheable.decorator.js';

export {
  CapabilityMissingError,
  ConnectionLostError,
  DeadLettersUnreachableError,
  MessageBusyError,
  NoResponderError,
  OverloadedError,
  PayloadError,
  PublishUnconfirmedError,
  RequestTimeoutError,
  SubscriptionFailedError,
} from './broker/broker.errors.js';
export type { DeadLetterQueue } from './broker/dead-letters.js';
export { InProcessBroker } from './broker/in-process.broker.js';
export { MESH_TRANSPORT } from './broker/nest/pattern-metadata.js';
export { Subscribe } from './broker/nest/subscribe.decorator.js';
export { decodePayload, encodePayload } from './broker/transport/payload.codec.js';
export type { WireBody } from './broker/transport/transport-driver.port.js';

export { HealthAggregator, type HealthComponentView, type HealthOverview } from './health/health.aggregator.js';
export type { HealthEntries, HealthEntry, HealthSnapshot } from './health/health-group.js';
export { fromTerminus, type TerminusIndicator, type TerminusResult } from './health/terminus.adapter.js';
export { HealthContributor } from './health/health-contributor.decorator.js';

export { callLogFields } from './logging/call-log-fields.js';
export { LogSink } from './logging/log-sink.js';

export type { OpsGuard, OpsScope } from './ops/ops.access.js';

export type { LeafChange } from './config/config.diff.js';
export { ConfigInput } from './config/config.input.js';
export {
  type ConfigProblem,
  ConfigRefusedError,
  ConfigRolledBackError,
  InvalidConfigError,
  RestartRequiredError,
  StaleConfigError,
  UnknownGenerationError,
} from './config/config.errors.js';
export type { ConfigExplanation } from './config/config.explanation.js';
export type { ConfigGeneration } from './config/config.history.js';
export type { ConfigParticipant, ParticipantChange, PreparedChange } from './config/config.participant.js';
export type { ReplaceResult } from './replaceable/part-replacer.js';
export { ReplacementRefusedError } from './replaceable/replacement.errors.js';

export { ConfigStore, type UpdateOptions, type UpdateResult } from './config/config.store.js';

export {
  type DeadLetter,
  type DeadLetters,
  type DrainOptions,
  type DrainReport,
  type Message,
  MessageBroker,
  type MessageHandler,
  type MessagePattern,
  type MessageServer,
  type PublishOptions,
  type PublishReceipt,
  type RequestHandler,
  type RequestMessage,
  type RequestOptions,
  type ServeOptions,
  type SubscribeOptions,
  type Subscription,
  type WaitForOptions,
} from './core/broker.port.js';
export {
  CacheClient,
  type CacheDefaults,
  type CacheFactory,
  type CacheGetOrSetOptions,
  type CacheLookup,
  type CacheSetOptions,
  type CacheStats,
  type LoadContext,
} from './core/cache.port.js';
export { CallContexts, type CallContext } from './core/call-context.js';
export { Clock, SystemClock, type Timer, type TimerOptions } from './core/clock.js';
export type {
  HealthCriticality,
  HealthGroup,
  HealthMembership,
  HealthReport,
  HealthSource,
  HealthSourceEntry,
  HealthState,
  HealthStatus,
} from './core/health.port.js';
export { Ids, SystemIds } from './core/ids.js';
export type { RawRequest } from './core/raw-route.js';
export type { LiveOptions } from './core/live-options.js';
export { isMeshError, MeshError } from './core/mesh.error.js';
export { DrainingError, MeshConfigError } from './core/mesh.errors.js';
export {
  type ConfigChange,
  type MeshEventMap,
  type MeshEventName,
  MeshEvents,
  type MeshPhase,
} from './core/mesh.events.js';
export {
  type Counter,
  type Gauge,
  type Histogram,
  type HistogramDefinition,
  type Labels,
  type MetricDefinition,
  type MetricFamily,
  MetricsClient,
  type MetricsExposition,
} from './core/metrics.port.js';
export { type Attempt, type BreakerState, type ExecuteOptions, type Policy, PolicyRunner } from './core/policy.port.js';
export { ServiceInfo } from './core/service-info.js';
export type { SchemaIssue, StandardSchema } from './core/standard-schema.js';
