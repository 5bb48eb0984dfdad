import assert from 'node:assert/strict';
import type { BrokerFeature, BrokerUnderTest, Rule } from './broker-under-test.js';
import { casesOf, type ConformanceCase } from './conformance-case.js';
import { crashRules } from './crash.conformance.js';
import { durableRules } from './durable-broker.conformance.js';
import { eventRules } from './events.conformance.js';
import { instanceRules } from './instances.conformance.js';
import { requestRules } from './requests.conformance.js';
import { restartRules } from './restart.conformance.js';

const featureRules: Readonly<Record<BrokerFeature, Readonly<Record<string, Rule>>>> = {
  instances: instanceRules,
  durable: durableRules,
  restart: restartRules,
  crash: crashRules,
};

/** What the rules of a feature need of the broker under test. */
const needs: Readonly<Record<BrokerFeature, (subject: BrokerUnderTest) => Readonly<Record<string, unknown>>>> = {
  instances: ({ another }) => ({ another }),
  durable: ({ another }) => ({ another }),
  restart: ({ server }) => ({ server }),
  crash: ({ another, server }) => ({ another, server, 'server.crashBeforeAck': server?.crashBeforeAck }),
};

/**
 * What every broker must do, ours and a user's own, and what those must that have what is named in `features`. `create` is
 * called once for each case. Rules about a limit that the subject leaves out (`maxQueued`, `maxInFlight`) pass.
 *
 * Runs under any test runner: `for (const { name, run } of brokerConformance(create)) it(name, run);`
 */
export function brokerConformance(
  create: () => Promise<BrokerUnderTest> | BrokerUnderTest,
  features: readonly BrokerFeature[] = [],
): readonly ConformanceCase[] {
  const rules: Record<string, Rule> = { ...requestRules, ...eventRules };
  for (const feature of features)
    for (const [name, rule] of Object.entries(featureRules[feature]))
      rules[name] = async (subject) => {
        assertHasWhatItNeeds(subject, feature);
        await rule(subject);
      };
  return casesOf(rules, create);
}

function assertHasWhatItNeeds(subject: BrokerUnderTest, feature: BrokerFeature): void {
  const missing = Object.entries(needs[feature](subject)).flatMap(([name, value]) => (value ? [] : [name]));
  assert.ok(
    missing.length === 0,
    `The rules of the feature "${feature}" need ${missing.join(' and ')} of the BrokerUnderTest that create() gives.`,
  );
}
