import { randomUUID } from 'node:crypto';
import kafkajs, { type Consumer, type KafkaMessage } from 'kafkajs';
import { Logger } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { brokerOptionsSchema } from '../../libs/mesh/src/broker/broker.options.js';
import { reachesEveryInstance } from '../../libs/mesh/src/broker/create-broker.js';
import { type RemoteBroker, remoteBroker } from '../chaos/broker/remote-broker.fixture.js';
import { KafkaServer } from './kafka-server.fixture.js';

const title = `events to Kafka under the broker ${KafkaServer.whyNot}`.trimEnd();
const LONG_POLL_MS = 50;

describe.skipIf(KafkaServer.whyNot)(title, () => {
  let server: KafkaServer;
  let mesh: RemoteBroker;
  let topic: string;
  const consumers: Consumer[] = [];

  /** The messages of the topic, from the first on, as they come, up to the one that is the last. */
  async function messages(isLast: (got: readonly KafkaMessage[]) => boolean): Promise<KafkaMessage[]> {
    const { logLevel, Kafka } = kafkajs;
    const kafka = new Kafka({ brokers: [server.address], logLevel: logLevel.NOTHING });
    const consumer = kafka.consumer({ groupId: randomUUID(), maxWaitTimeInMs: LONG_POLL_MS });
    consumers.push(consumer);
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    const { promise, resolve } = Promise.withResolvers<KafkaMessage[]>();
    const got: KafkaMessage[] = [];
    const eachMessage = async ({ message }: { message: KafkaMessage }): Promise<void> => {
      got.push(message);
      if (isLast(got)) resolve(got);
    };
    await consumer.run({ eachMessage });
    return promise;
  }

  const text = (value: unknown): string => String(value);
  const health = () => mesh.broker.readHealth()[0]!.status;

  beforeEach(async () => {
    Logger.overrideLogger(false);
    topic = `orders.${randomUUID()}`;
    server = await KafkaServer.start();
    const client = { brokers: [server.address], requestTimeout: 1_000 };
    mesh = await remoteBroker({ transport: 'nest', via: 'kafka', options: { client } });
  }, 20_000);
  afterEach(async () => {
    server.wake();
    await mesh.broker.stop();
    await Promise.all(consumers.splice(0).map((consumer) => consumer.disconnect()));
    await server.stop();
  }, 20_000);

  it('are stored when they are confirmed, with key, id, headers, correlation and trace', async () => {
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const options = { guarantee: 'confirmed', key: 'ada', id: 'order-1', headers: { tenant: 'a' } } as const;
    const context = { correlationId: 'c-1', traceparent };
    const bytes = Buffer.from([0, 255]);
    await mesh.contexts.run(context, () => mesh.broker.publish(topic, { sku: 'a' }, options));
    for (const payload of [[1, 'a'], 'text', 5, true, bytes, undefined, null])
      await mesh.broker.publish(topic, payload, { key: 'ada' });
    const stored = await messages(({ length }) => length === 8);
    const [{ key, headers }] = stored as [KafkaMessage];
    expect(text(key)).toBe('ada');
    const told = Object.fromEntries(Object.entries(headers!).map(([name, header]) => [name, text(header)]));
    const expected = { 'mesh-id': 'order-1', 'mesh-correlation-id': 'c-1', traceparent, tenant: 'a' };
    expect(told).toMatchObject(expected);
    const values = stored.map(({ value }) => value?.toString('latin1'));
    const asText = ['{"sku":"a"}', '[1,"a"]', 'text', '5', 'true', bytes.toString('latin1')];
    expect(values).toEqual([...asText, undefined, undefined]);
  }, 20_000);

  it('wait for a server that hangs until their time is over, and arrive when it answers again', async () => {
    // One key, hence one partition, which keeps the order.
    const confirmed = { guarantee: 'confirmed', key: 'ada' } as const;
    await mesh.broker.publish(topic, 0, confirmed);
    server.hang();
    const late = mesh.broker.publish(topic, 1, { ...confirmed, timeoutMs: 500 });
    await expect(late).rejects.toMatchObject({
      code: 'MESH_PUBLISH_UNCONFIRMED',
      retryable: true,
      details: { outcome: 'unknown' },
    });
    await expect.poll(health, { timeout: 15_000 }).toBe('down');
    await expect(mesh.broker.publish(topic, 2, { ...confirmed, timeoutMs: 100 })).rejects.toMatchObject({
      code: 'MESH_PUBLISH_UNCONFIRMED',
      details: { outcome: 'unsent' },
    });
    const patient = mesh.broker.publish(topic, 3, { ...confirmed, timeoutMs: 20_000 });
    server.wake();
    await patient;
    await expect.poll(health, { timeout: 15_000 }).toBe('up');
    const values = (await messages((got) => text(got.at(-1)?.value) === '3')).map(({ value }) => text(value));
    expect(values[0]).toBe('0');
    // Of 1 nobody was told whether it is there.
    expect(values.filter((value) => value !== '1')).toEqual(['0', '3']);
  }, 60_000);

  it('are refused at once where no server would take them', async () => {
    for (const name of ['orders placed', '..', 'a'.repeat(250)])
      await expect(mesh.broker.publish(name)).rejects.toMatchObject({ code: 'MESH_PAYLOAD_INVALID' });
  });

  it('are all that it can do, and what to do instead is told', async () => {
    const { broker } = mesh;
    const refusal = {
      code: 'MESH_CAPABILITY_MISSING',
      message: expect.stringMatching(/connectMicroservice and handlers that name Transport.KAFKA/),
    };
    await expect(broker.request('a')).rejects.toMatchObject(refusal);
    await expect(broker.subscribe('told', () => undefined)).rejects.toMatchObject(refusal);
    expect(() => broker.serve('a', () => 1)).toThrow(expect.objectContaining(refusal));
    await expect(broker.waitFor(['a'])).rejects.toMatchObject({ code: 'MESH_CAPABILITY_MISSING' });
  });
});

describe('the configuration of Kafka', () => {
  const nowhere = { client: { brokers: ['127.0.0.1:1'] } };
  const start = (options: Record<string, unknown>) =>
    remoteBroker({ transport: 'nest', via: 'kafka', ...options }, AbortSignal.timeout(300));

  it.each([
    ['no server', {}, /has no brokers: set broker.options.client.brokers/],
    [
      'a server of ours',
      { options: nowhere, server: { port: 1 } },
      /broker.server can't be had via "kafka": take what/,
    ],
    ['nobody who listens', { options: nowhere }, /No success with the connection via kafka/],
  ])('fails at the start with %s', async (_, options, message) => {
    Logger.overrideLogger(false);
    await expect(start(options)).rejects.toThrow(message);
  });

  it('confirms nothing where not all replicas are to have it', async () => {
    Logger.overrideLogger(false);
    const { broker } = await remoteBroker({
      transport: 'nest',
      via: 'kafka',
      required: false,
      options: { ...nowhere, send: { acks: 1 } },
    });
    const confirmed = broker.publish('told', 1, { guarantee: 'confirmed' });
    await expect(confirmed).rejects.toMatchObject({ code: 'MESH_CAPABILITY_MISSING' });
    await broker.stop();
  });

  it('is known to reach no other instance without a broker', () => {
    expect(reachesEveryInstance(brokerOptionsSchema.parse({ transport: 'nest', via: 'kafka' }))).toBe(false);
  });

  it('names the package that is missing', async () => {
    vi.doMock('kafkajs', () => {
      throw new Error('Cannot find package');
    });
    await expect(start({ options: nowhere })).rejects.toThrow(/needs: npm i kafkajs/);
    vi.doUnmock('kafkajs');
  });
});
