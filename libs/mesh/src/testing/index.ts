export { VirtualClock } from './virtual-clock.js';
export type { BrokerFeature, BrokerUnderTest } from './broker-under-test.js';
export { brokerConformance, type ConformanceCase } from './broker.conformance.js';
export { cacheConformance, type CacheUnderTest } from './cache.conformance.js';
