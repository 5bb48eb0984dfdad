import { Logger } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { brokerConformance } from '../../libs/mesh/src/testing/broker.conformance.js';
import type { ConformanceCase } from '../../libs/mesh/src/testing/conformance-case.js';
import type { BrokerFeature, BrokerUnderTest } from '../../libs/mesh/src/testing/broker-under-test.js';
import { remoteUnderTest } from '../chaos/broker/remote-broker.fixture.js';
import { mqtt, nats, type NestServerKind, type NestServerUnderTest, redis, rmq, tcp } from './nest-servers.fixture.js';

const CASE_MS = 30_000;
const MISSING = /MESH_CAPABILITY_MISSING|cannot (share|hand)/;
const NO_ANSWER = /expected MESH_NO_RESPONDER, got .*did not answer within/;

const NO_NAMED_GROUPS = { 'gives each message to one member of a group': MISSING };
const NO_BROADCAST = { 'reaches every instance with `group: false`': MISSING };
const SILENCE = { 'rejects at once when nobody answers': NO_ANSWER };

/** What each transport cannot do, and how it says so: the rest of the suite it keeps. */
const kinds: readonly {
  readonly kind: NestServerKind;
  readonly features: readonly BrokerFeature[];
  readonly cannot: Readonly<Record<string, RegExp>>;
}[] = [
  { kind: tcp, features: ['restart'], cannot: NO_NAMED_GROUPS },
  { kind: nats, features: ['instances', 'restart'], cannot: NO_NAMED_GROUPS },
  { kind: rmq, features: ['instances', 'restart'], cannot: { ...NO_NAMED_GROUPS, ...NO_BROADCAST, ...SILENCE } },
  {
    kind: redis,
    features: ['instances', 'restart'],
    cannot: {
      ...NO_NAMED_GROUPS,
      ...SILENCE,
      'shares the messages of a handler among the instances of its service': /^/,
    },
  },
  {
    kind: mqtt,
    features: ['instances', 'restart'],
    cannot: {
      ...NO_NAMED_GROUPS,
      ...SILENCE,
      'shares the messages of a handler among the instances of its service': /^/,
    },
  },
];

describe.each(kinds)("Nest's $kind.via under the mesh$kind.whyNot", ({ kind, features, cannot }) => {
  let server: NestServerUnderTest;
  let cases = 0;

  async function create(): Promise<BrokerUnderTest> {
    const sides = server.sides(`case-${++cases}`);
    const options = {
      transport: 'nest',
      via: kind.via,
      ...sides,
      requestTimeoutMs: 2_000,
      maxInFlight: 200,
    } as const;
    return {
      ...(await remoteUnderTest(options, server)),
      ...(kind.maxPayloadBytes !== undefined && { maxPayloadBytes: kind.maxPayloadBytes }),
    };
  }

  describe.skipIf(kind.whyNot)('as a broker', () => {
    beforeAll(async () => {
      Logger.overrideLogger(false);
      server = await kind.start();
    });
    afterAll(() => server?.stop());

    const all = brokerConformance(create, features);
    const keeps = ({ name }: ConformanceCase): boolean => cannot[name] === undefined;
    for (const { name, run } of all.filter(keeps)) it(name, run, CASE_MS);
    for (const { name, run } of all.filter((rule) => !keeps(rule)))
      it(`cannot: ${name}`, () => expect(run()).rejects.toThrow(cannot[name]!), CASE_MS);

    it('knows each thing that it cannot do', () => {
      expect(all.map(({ name }) => name)).toEqual(expect.arrayContaining(Object.keys(cannot)));
    });
  });
});
