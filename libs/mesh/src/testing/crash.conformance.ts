import assert from 'node:assert/strict';
import type { DeadLetter, Message, MessageBroker } from '../core/broker.port.js';
import { isMeshError } from '../core/mesh.error.js';
import { clock, eventually, numbers, type BrokerUnderTest, type Rule } from './broker-under-test.js';

const confirmed = { guarantee: 'confirmed' } as const;
const stored = { name: 'worker', guarantee: 'atLeastOnce', maxDeliver: 1 } as const;
const BACK_WITHIN_MS = 60_000;
const PUBLISHERS = 32;
const WARM_UP = -1;
const usualLoad = { messages: 1_000, kills: 3 };

/** Rules of brokers whose server keeps what it has stored when it is killed. */
export const crashRules: Readonly<Record<string, Rule>> = {
  'confirms a message only once it is stored, whatever becomes of the server meanwhile': async (subject) => {
    const { broker, server } = subject;
    const got: string[] = [];
    const handler = (n: unknown, { id }: Message): void => {
      failWarmUp(n);
      got.push(id);
    };
    await broker.subscribe('conformance.stored', handler, stored);
    await warmUp(subject, 'conformance.stored');
    const publish = (n: number, timeoutMs: number): Promise<{ readonly id: string }> =>
      broker.publish('conformance.stored', n, { ...confirmed, id: `s-${n}`, timeoutMs });
    const patient = numbers(10).map((n) => publish(n, BACK_WITHIN_MS));
    await server!.kill();
    await clock.sleep(100);
    await assert.rejects(publish(10, 50), (error) => {
      assert.ok(isMeshError(error, 'MESH_PUBLISH_UNCONFIRMED'), String(error));
      return error.details?.['outcome'] === 'unsent';
    });
    await server!.start();
    const ids = (await Promise.all(patient)).map(({ id }) => id);
    await eventually(() => ids.every((id) => got.includes(id)), 'a confirmed message is missing', BACK_WITHIN_MS);
    assert.ok(!got.includes('s-10'), 'a message that was told unsent arrived');
  },

  'stores a dead letter before it acknowledges its message: a crash in between loses neither': async (subject) => {
    const { broker, server } = subject;
    let isWell = false;
    const handled: number[] = [];
    const handler = (_n: unknown, { attempt }: Message): void => {
      if (!isWell) throw new Error('out of order');
      handled.push(attempt);
    };
    await broker.subscribe('conformance.crash', handler, stored);
    await warmUp(subject, 'conformance.crash');
    const crashed = server!.crashBeforeAck!();
    await broker.publish('conformance.crash', 1, { ...confirmed, id: 'c-1' });
    await crashed;
    // From now on nothing becomes a dead letter any more: what is found was stored before the crash.
    isWell = true;
    await server!.start();
    const letters = await lettersOf(broker, 'conformance.crash', 1);
    assert.deepEqual(
      letters.map(({ message }) => message.id),
      ['c-1'],
    );
    await eventually(() => handled.length > 0, 'the message that was not acknowledged was lost', BACK_WITHIN_MS);
  },

  'handles every confirmed message at least once while its server is killed again and again': async (subject) => {
    const { broker, server, load = usualLoad } = subject;
    const { handled, outcomes, published } = await publishUnderLoad(subject, async (progress) => {
      for (let kill = 1; kill <= load.kills; kill++) {
        while (progress() < kill / (load.kills + 1)) await clock.sleep(Math.random() * 10);
        await server!.kill();
        await clock.sleep(Math.random() * 500);
        await server!.start();
      }
    });
    assert.ok(published.size > load.messages / 2, `only ${published.size} messages were confirmed`);
    const dead = new Set<string>();
    const missing = (): string[] => [...published].filter((id) => !handled.has(id) && !dead.has(id));
    const giveUpAt = clock.monotonic() + BACK_WITHIN_MS;
    while (missing().length > 0 && clock.monotonic() < giveUpAt) {
      for (const { message } of await lettersNow(broker, 'conformance.load')) dead.add(message.id);
      await clock.sleep(200);
    }
    const account = { confirmed: published.size, handled: handled.size, dead: dead.size, ...outcomes };
    subject.onAccount?.({ messages: load.messages, kills: load.kills, ...account });
    assert.deepEqual(missing(), [], JSON.stringify(account));
  },
};

interface LoadResult {
  readonly handled: ReadonlySet<string>;
  readonly published: ReadonlySet<string>;
  readonly outcomes: { unsent: number; unknown: number };
}

/** Many publishers and two instances that handle; some messages fail once, some for ever. */
async function publishUnderLoad(
  subject: BrokerUnderTest,
  disturb: (progress: () => number) => Promise<void>,
): Promise<LoadResult> {
  const { broker, another, load = usualLoad } = subject;
  const { messages } = load;
  const handled = new Set<string>();
  const handler = async (n: number, { id, attempt }: Message<number>): Promise<void> => {
    failWarmUp(n);
    await clock.sleep(1);
    if (n % 100 === 13 || (n % 10 === 7 && attempt === 1)) throw new Error('not now');
    handled.add(id);
  };
  const options = { ...stored, maxDeliver: 3, backoffMs: [25], concurrency: 32 };
  for (const instance of [await another!(), await another!()])
    await instance.subscribe<number>('conformance.load', handler, options);
  await warmUp(subject, 'conformance.load');

  const published = new Set<string>();
  const outcomes = { unsent: 0, unknown: 0 };
  let next = 0;
  const publisher = async (): Promise<void> => {
    for (let n = next++; n < messages; n = next++) {
      try {
        published.add((await broker.publish('conformance.load', n, { ...confirmed, id: `load-${n}` })).id);
      } catch (error) {
        if (!isMeshError(error, 'MESH_PUBLISH_UNCONFIRMED') && !isMeshError(error, 'MESH_OVERLOADED')) throw error;
        outcomes[error.details?.['outcome'] === 'unknown' ? 'unknown' : 'unsent']++;
      }
      await clock.sleep(Math.random() * 20);
    }
  };
  await Promise.all([disturb(() => next / messages), ...Array.from({ length: PUBLISHERS }, publisher)]);
  return { handled, published, outcomes };
}

/** A message that fails: what the server keeps for failures appears with the first of them, and takes its time to be safe. */
async function warmUp({ broker, settleMs = 50 }: BrokerUnderTest, topic: string): Promise<void> {
  await broker.publish(topic, WARM_UP, { ...confirmed, id: 'warm-up' });
  await lettersOf(broker, topic, 1);
  await broker.deadLetters(topic).discard();
  await clock.sleep(settleMs);
}

function failWarmUp(payload: unknown): void {
  if (payload === WARM_UP) throw new Error('to warm up');
}

async function lettersOf(broker: MessageBroker, topic: string, count: number): Promise<readonly DeadLetter[]> {
  const giveUpAt = clock.monotonic() + BACK_WITHIN_MS;
  for (;;) {
    const found = await lettersNow(broker, topic);
    if (found.length >= count || clock.monotonic() > giveUpAt) return found;
    await clock.sleep(50);
  }
}

/** None while the server is just coming back. */
async function lettersNow(broker: MessageBroker, topic: string): Promise<readonly DeadLetter[]> {
  try {
    return await broker.deadLetters(topic).list();
  } catch {
    return [];
  }
}
