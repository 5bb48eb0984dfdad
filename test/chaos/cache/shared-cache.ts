import { setTimeout as sleep } from 'node:timers/promises';
import { brokerOptionsSchema } from '../../../libs/mesh/src/broker/broker.options.js';
import { InProcessBroker } from '../../../libs/mesh/src/broker/in-process.broker.js';
import { cacheSchema } from '../../../libs/mesh/src/cache/cache.options.js';
import { MeshCache } from '../../../libs/mesh/src/cache/mesh-cache.js';
import {
  SECOND_TIER_POLICY,
  SECOND_TIER_POLICY_NAME,
} from '../../../libs/mesh/src/cache/second-tier/second-tier.policy.js';
import type { MessageBroker, MessageHandler, SubscribeOptions } from '../../../libs/mesh/src/core/broker.port.js';
import { CallContexts } from '../../../libs/mesh/src/core/call-context.js';
import { SystemClock } from '../../../libs/mesh/src/core/clock.js';
import { SystemIds } from '../../../libs/mesh/src/core/ids.js';
import { fixedOptions } from '../../../libs/mesh/src/core/live-options.js';
import { type MeshEventMap, MeshEvents } from '../../../libs/mesh/src/core/mesh.events.js';
import { ServiceInfo } from '../../../libs/mesh/src/core/service-info.js';
import { metricsSchema } from '../../../libs/mesh/src/metrics/metrics.options.js';
import { PrometheusMetrics } from '../../../libs/mesh/src/metrics/prometheus.metrics.js';
import { CircuitBreakerManager } from '../../../libs/mesh/src/resilience/circuit-breaker.manager.js';
import { resilienceSchema } from '../../../libs/mesh/src/resilience/resilience.options.js';

/** One instance of a service with its cache, as the module puts it together. */
export function cacheInstance(options: Record<string, unknown>, instance = 'a', broker?: MessageBroker) {
  const events = new MeshEvents();
  const collaborators = {
    clock: new SystemClock(),
    ids: new SystemIds(),
    events,
    metrics: new PrometheusMetrics(fixedOptions(metricsSchema.parse({})), events),
    contexts: new CallContexts(),
  };
  const policies = new CircuitBreakerManager(fixedOptions(resilienceSchema.parse({})), collaborators);
  policies.declare(SECOND_TIER_POLICY_NAME, SECOND_TIER_POLICY, 'the cache');
  const transitions: MeshEventMap['cache.second-tier'][] = [];
  events.on('cache.second-tier', (event) => transitions.push(event));
  const cache = new MeshCache(fixedOptions(cacheSchema.parse(options)), {
    ...collaborators,
    policies,
    service: new ServiceInfo('shop', instance),
    ...(broker && { broker }),
  });
  return { cache, transitions, ...collaborators };
}

/** Instances of one service around one Redis, to be stopped together. */
export function instancesAround(redisUrl: () => string) {
  const instances: MeshCache[] = [];

  async function join(options: Record<string, unknown> = {}, instance = 'a', broker?: MessageBroker) {
    const joined = cacheInstance({ redis: { url: redisUrl() }, ...options }, instance, broker);
    instances.push(joined.cache);
    await joined.cache.start();
    return joined;
  }

  async function connected(options: Record<string, unknown> = {}, instance = 'a', broker?: MessageBroker) {
    const joined = await join(options, instance, broker);
    await joined.cache.set('warm-up', 1);
    await until(() => shares(joined.cache), 5_000);
    return joined;
  }

  async function stop(): Promise<void> {
    await Promise.all(instances.splice(0).map((cache) => cache.stop()));
  }

  return { join, connected, stop };
}

/** Whether the instance reaches Redis, and has nothing left to write there. */
export function shares(cache: MeshCache): boolean {
  const { status, details } = cache.readHealth()[0]!;
  return status === 'up' && details?.['queued'] === 0;
}

/** Waits for something that happens by itself, and says how long it took. */
export async function until(condition: () => boolean | Promise<boolean>, limitMs: number): Promise<number> {
  const startedAt = performance.now();
  while (!(await condition())) {
    if (performance.now() - startedAt > limitMs) throw new Error(`not within ${limitMs} ms`);
    await sleep(10);
  }
  return performance.now() - startedAt;
}

export async function timed<T>(work: () => Promise<T>): Promise<{ readonly value: T; readonly ms: number }> {
  const startedAt = performance.now();
  const value = await work();
  return { value, ms: performance.now() - startedAt };
}

export function percentile(samples: readonly number[], share: number): number {
  return [...samples].sort((a, b) => a - b)[Math.floor(samples.length * share)] ?? 0;
}

/** The in-process broker, as the wire between instances in one test: each names its subscription alike. */
class Wire extends InProcessBroker {
  #members = 0;

  override subscribe<T>(topic: string, handler: MessageHandler<T>, options: SubscribeOptions = {}) {
    return super.subscribe(topic, handler, { ...options, name: `${options.name}-${++this.#members}` });
  }
}

export function sharedBroker(): MessageBroker {
  const events = new MeshEvents();
  const broker = new Wire(fixedOptions(brokerOptionsSchema.parse({})), {
    clock: new SystemClock(),
    ids: new SystemIds(),
    events,
    metrics: new PrometheusMetrics(fixedOptions(metricsSchema.parse({})), events),
    contexts: new CallContexts(),
    service: new ServiceInfo('wire', 'wire'),
    policyFor: () => undefined,
  });
  broker.startConsuming();
  return broker;
}
