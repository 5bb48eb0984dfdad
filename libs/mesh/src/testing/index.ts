export { VirtualClock } from './virtual-clock.js';
export { brokerConformance, type BrokerUnderTest, type ConformanceCase } from './broker.conformance.js';
