import type { BrokerUnderTest } from '../../../libs/mesh/src/testing/broker-under-test.js';
import type { ChaosServer, ServerKind } from './chaos-server.js';
import { remoteBroker } from './remote-broker.fixture.js';

/** The long form, with 10,000 messages instead of 1,000: MESH_FULL=1. */
export const isFull = process.env['MESH_FULL'] === '1';
const MAX_IN_FLIGHT = 200;

let cases = 0;

/** Brokers on `server` for one case of the conformance suite, under names that no other case has. */
export async function brokersOn(
  server: ChaosServer,
  { maxPayloadBytes, settleMs }: ServerKind,
  kills: number,
): Promise<BrokerUnderTest> {
  const options = { ...server.options(`case-${++cases}`), maxInFlight: MAX_IN_FLIGHT };
  const instances = [await remoteBroker(options)];
  return {
    broker: instances[0]!.broker,
    maxInFlight: MAX_IN_FLIGHT,
    ...(maxPayloadBytes !== undefined && { maxPayloadBytes }),
    ...(settleMs !== undefined && { settleMs }),
    server,
    load: { messages: isFull ? 10_000 : 1_000, kills },
    onAccount: (account) => console.log(JSON.stringify(account)),
    another: async () => {
      const instance = await remoteBroker(options);
      instances.push(instance);
      return instance.broker;
    },
    close: async () => {
      await server.start();
      await Promise.all(instances.map(({ broker }) => broker.stop()));
    },
  };
}
