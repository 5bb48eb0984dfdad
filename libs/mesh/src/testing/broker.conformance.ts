import type { BrokerFeature, BrokerUnderTest, Rule } from './broker-under-test.js';
import { crashRules } from './crash.conformance.js';
import { durableRules } from './durable-broker.conformance.js';
import { eventRules } from './events.conformance.js';
import { instanceRules } from './instances.conformance.js';
import { requestRules } from './requests.conformance.js';
import { restartRules } from './restart.conformance.js';

/** One rule that every broker keeps. Give `name` and `run` to the test runner of your choice. */
export interface ConformanceCase {
  readonly name: string;
  run(): Promise<void>;
}

const featureRules: Readonly<Record<BrokerFeature, Readonly<Record<string, Rule>>>> = {
  instances: instanceRules,
  durable: durableRules,
  restart: restartRules,
  crash: crashRules,
};

/**
 * What every broker must do, ours and a user's own, and what those must that have what is named in `features`. `create` is
 * called once for each case.
 *
 * Runs under any test runner: `for (const { name, run } of brokerConformance(create)) it(name, run);`
 */
export function brokerConformance(
  create: () => Promise<BrokerUnderTest> | BrokerUnderTest,
  features: readonly BrokerFeature[] = [],
): readonly ConformanceCase[] {
  const applicable = { ...requestRules, ...eventRules };
  for (const feature of features) Object.assign(applicable, featureRules[feature]);
  return Object.entries(applicable).map(([name, rule]) => ({
    name,
    run: async () => {
      const subject = await create();
      try {
        await rule(subject);
      } finally {
        await subject.close();
      }
    },
  }));
}
