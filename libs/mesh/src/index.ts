export { MeshModule } from './mesh.module.js';
export { ServiceMesh } from './service-mesh.js';
export type { MeshConfig, MeshOptions } from './mesh.options.js';
export type { MeshExtras, Replacement } from './replacements.js';

export { enableMeshShutdown } from './lifecycle/enable-mesh-shutdown.js';
export { MeshLifecycle } from './lifecycle/mesh-lifecycle.js';
export { CircuitBreakerManager } from './resilience/circuit-breaker.manager.js';
export { HealthAggregator } from './health/health.aggregator.js';
export { ConfigStore } from './config/config.store.js';

export { MessageBroker } from './core/broker.port.js';
export { CacheClient } from './core/cache.port.js';
export { CallContexts, type CallContext } from './core/call-context.js';
export { Clock, SystemClock, type Timer, type TimerOptions } from './core/clock.js';
export { Ids, SystemIds } from './core/ids.js';
export { isMeshError, MeshError } from './core/mesh.error.js';
export { MeshEvents } from './core/mesh.events.js';
export { MetricsClient } from './core/metrics.port.js';
export { PolicyRunner } from './core/policy.port.js';
export { ServiceInfo } from './core/service-info.js';
