import type { Provider } from '@nestjs/common';
import { HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { createBroker, reachesEveryInstance } from './broker/create-broker.js';
import { MeshCache } from './cache/mesh-cache.js';
import { SECOND_TIER_POLICY } from './cache/second-tier/second-tier.policy.js';
import { ConfigStore } from './config/config.store.js';
import { MessageBroker } from './core/broker.port.js';
import { CacheClient } from './core/cache.port.js';
import { CallContexts } from './core/call-context.js';
import { Clock, SystemClock } from './core/clock.js';
import { EventLoopSampler } from './core/event-loop.sampler.js';
import { Ids } from './core/ids.js';
import { MeshEvents } from './core/mesh.events.js';
import { MeshRuntime } from './core/mesh-runtime.js';
import { MetricsClient } from './core/metrics.port.js';
import { PolicyRunner } from './core/policy.port.js';
import { ServiceInfo } from './core/service-info.js';
import { DecoratedMethodsExplorer } from './decorated-methods.explorer.js';
import { HealthAggregator } from './health/health.aggregator.js';
import { terminusFormatterProvider } from './health/terminus.adapter.js';
import { buildLifecycle } from './lifecycle/build-lifecycle.js';
import { HttpIntake } from './lifecycle/http.intake.js';
import { JobIntake } from './lifecycle/job.intake.js';
import { MeshLifecycle } from './lifecycle/mesh-lifecycle.js';
import { EventLog } from './logging/event-log.js';
import { LogSink } from './logging/log-sink.js';
import { MeshAssembly } from './mesh.assembly.js';
import type { MeshConfig } from './mesh.options.js';
import { provide } from './mesh.providers.js';
import { ForeignReader } from './metrics/foreign.reader.js';
import { DefaultRegistry } from './metrics/prom-client.adapter.js';
import { PrometheusMetrics } from './metrics/prometheus.metrics.js';
import { traceFetch } from './ops/fetch.tracing.js';
import { findTracer } from './ops/opentelemetry.adapter.js';
import { Tracing } from './ops/traced-work.js';
import { PartReplacer } from './replaceable/part-replacer.js';
import { type MeshExtras, PART_HOLDER, partProviders } from './replacements.js';
import { CircuitBreakerManager } from './resilience/circuit-breaker.manager.js';
import { MeshFetch } from './resilience/http/mesh-fetch.js';
import { ServiceMesh } from './service-mesh.js';

const Config = ConfigStore<MeshConfig>;

abstract class LifecycleRoom {
  abstract readonly lifecycle: MeshLifecycle;
  abstract readonly intake: HttpIntake;
  abstract readonly jobs: JobIntake;
}

const defaults = {
  metrics: provide(MetricsClient, [Config, MeshEvents, Clock], (config, events, clock) => {
    const options = config.section('metrics');
    const foreign = options.current.includeDefaultRegistry
      ? new ForeignReader(new DefaultRegistry(), clock)
      : undefined;
    return new PrometheusMetrics(options, events, foreign);
  }),
  broker: provide(
    MessageBroker,
    [Config, Clock, Ids, MeshEvents, MetricsClient, CallContexts, ServiceInfo, CircuitBreakerManager],
    (config, clock, ids, events, metrics, contexts, service, breakers) =>
      createBroker(config.section('broker'), {
        clock,
        ids,
        events,
        metrics,
        contexts,
        service,
        policyFor: (_pattern, name) => breakers.find(name),
      }),
  ),
  cache: provide(
    CacheClient,
    [Config, Clock, Ids, MeshEvents, MetricsClient, CallContexts, ServiceInfo, CircuitBreakerManager, MessageBroker],
    (config, clock, ids, events, metrics, contexts, service, breakers, broker) =>
      new MeshCache(config.section('cache'), {
        clock,
        ids,
        events,
        metrics,
        contexts,
        service,
        // In process there are no other instances to tell what changed.
        ...(config.snapshot.broker.transport !== 'in-process' &&
          reachesEveryInstance(config.snapshot.broker) && { broker }),
        // Declared when a second tier asks for it: without one there is no such policy.
        policies: { policy: (name) => breakers.declare(name, SECOND_TIER_POLICY, 'the second tier of the cache') },
      }),
  ),
};

/** Everything that MeshModule provides, on top of its kernel. */
export function meshProviders({ components = {} }: MeshExtras): Provider[] {
  return [
    provide(PartReplacer, [Config, Clock, MeshEvents], (config, clock, events) => {
      return new PartReplacer({ options: config.section('lifecycle'), clock, events });
    }),
    { provide: PART_HOLDER, useExisting: PartReplacer },
    ...partProviders(components, defaults),
    provide(
      LifecycleRoom,
      [Config, Clock, Ids, MeshEvents, CallContexts, HttpAdapterHost, ModulesContainer, Tracing],
      (config, clock, ids, events, contexts, adapterHost, modules, { tracer }) =>
        buildLifecycle({
          options: config.section('lifecycle'),
          clock,
          ids,
          events,
          contexts,
          adapterHost,
          modules,
          tracer,
        }),
    ),
    provide(MeshLifecycle, [LifecycleRoom], ({ lifecycle }) => lifecycle),
    provide(HttpIntake, [LifecycleRoom], ({ intake }) => intake),
    provide(JobIntake, [LifecycleRoom], ({ jobs }) => jobs),
    provide(
      CircuitBreakerManager,
      [Config, Clock, Ids, MeshEvents, MetricsClient, CallContexts],
      (config, clock, ids, events, metrics, contexts) =>
        new CircuitBreakerManager(config.section('resilience'), { clock, ids, events, metrics, contexts }),
    ),
    { provide: PolicyRunner, useExisting: CircuitBreakerManager },
    // The loop is the machine's, whatever clock a test gives to the application.
    provide(EventLoopSampler, [], () => new EventLoopSampler(new SystemClock())),
    provide(
      HealthAggregator,
      [Config, Clock, EventLoopSampler, Ids, MeshEvents, MetricsClient, CallContexts],
      (config, clock, eventLoop, ids, events, metrics, contexts) => {
        return new HealthAggregator(config.section('health'), { clock, eventLoop, ids, events, metrics, contexts });
      },
    ),
    terminusFormatterProvider,
    provide(EventLog, [Config, MeshEvents, LogSink, Clock, CallContexts], (config, events, sink, clock, contexts) => {
      return new EventLog(events, { sink, clock, contexts, options: config.section('logging') });
    }),
    provide(Tracing, [CallContexts], async (contexts) => new Tracing(await findTracer(), contexts)),
    provide(MeshFetch, [CircuitBreakerManager, Clock, CallContexts, Tracing], (breakers, clock, contexts, { work }) => {
      const fetch = new MeshFetch(breakers, { clock, contexts });
      if (work) traceFetch(fetch, work);
      return fetch;
    }),
    provide(
      ServiceMesh,
      [
        ServiceInfo,
        Config,
        MeshEvents,
        MetricsClient,
        CircuitBreakerManager,
        MessageBroker,
        CacheClient,
        HealthAggregator,
        MeshLifecycle,
        JobIntake,
        MeshFetch,
        MeshRuntime,
        PartReplacer,
      ],
      (service, config, events, metrics, breakers, broker, cache, health, lifecycle, jobs, fetch, runtime, replacer) =>
        new ServiceMesh({
          service,
          config,
          events,
          metrics,
          breakers,
          broker,
          cache,
          health,
          lifecycle,
          jobs,
          fetch,
          runtime,
          replacer,
        }),
    ),
    DecoratedMethodsExplorer,
    MeshAssembly,
  ];
}
