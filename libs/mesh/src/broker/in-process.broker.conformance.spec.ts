import { describe, it } from 'vitest';
import { inProcessUnderTest } from '../../../../test/broker/in-process.fixture.js';
import { brokerConformance } from '../testing/broker.conformance.js';

describe('InProcessBroker', () => {
  for (const { name, run } of brokerConformance(() => inProcessUnderTest())) it(name, run);
});
