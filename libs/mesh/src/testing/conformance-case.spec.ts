import { describe, expect, it } from 'vitest';
import { brokerConformance } from './broker.conformance.js';
import type { BrokerFeature, BrokerUnderTest } from './broker-under-test.js';
import { casesOf } from './conformance-case.js';

const cannotClose = { close: () => Promise.reject(new Error('does not close')) };

describe('a case of a conformance suite', () => {
  it('tells what its rule found, also when the subject cannot be closed after it', async () => {
    const [broken] = casesOf({ rule: () => Promise.reject(new Error('broken rule')) }, () => cannotClose);
    await expect(broken!.run()).rejects.toThrow('broken rule');
  });

  it('fails with a subject that cannot be closed', async () => {
    const [kept] = casesOf({ rule: () => Promise.resolve() }, () => cannotClose);
    await expect(kept!.run()).rejects.toThrow('does not close');
  });

  it.each<[BrokerFeature, string]>([
    ['instances', 'another'],
    ['durable', 'another'],
    ['restart', 'server'],
    ['crash', 'another and server and server.crashBeforeAck'],
  ])('of the feature "%s" says what it needs', async (feature, what) => {
    const create = () => ({ close: () => undefined }) as unknown as BrokerUnderTest;
    const basics = brokerConformance(create).length;
    for (const { run } of brokerConformance(create, [feature]).slice(basics))
      await expect(run()).rejects.toThrow(`The rules of the feature "${feature}" need ${what} of the BrokerUnderTest`);
  });
});
