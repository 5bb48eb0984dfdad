import { describe, it } from 'vitest';
import { inProcessUnderTest } from '../../../../../test/broker/in-process.fixture.js';
import { brokerConformance } from '../broker.conformance.js';
import { WatchedBroker } from './watched-broker.js';

const create = () => inProcessUnderTest((broker) => void new WatchedBroker(broker));

describe('a broker that the kit watches', () => {
  for (const { name, run } of brokerConformance(create)) it(name, run);
});
