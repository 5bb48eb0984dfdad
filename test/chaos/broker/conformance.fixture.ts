import type { BrokerUnderTest } from '../../../libs/mesh/src/testing/broker-under-test.js';
import type { ChaosServer, ServerKind } from './chaos-server.js';
import { remoteUnderTest } from './remote-broker.fixture.js';

/** The long form, with 10,000 messages instead of 1,000: MESH_FULL=1. */
export const isFull = process.env['MESH_FULL'] === '1';

let cases = 0;

/** Brokers on `server` for one case of the conformance suite, under names that no other case has. */
export async function brokersOn(
  server: ChaosServer,
  { maxPayloadBytes, settleMs }: ServerKind,
  kills: number,
): Promise<BrokerUnderTest> {
  const options = { ...server.options(`case-${++cases}`), maxInFlight: 200 };
  return {
    ...(await remoteUnderTest(options, server)),
    ...(maxPayloadBytes !== undefined && { maxPayloadBytes }),
    ...(settleMs !== undefined && { settleMs }),
    load: { messages: isFull ? 10_000 : 1_000, kills },
    onAccount: (account) => console.log(JSON.stringify(account)),
  };
}
