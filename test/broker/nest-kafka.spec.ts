import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { Controller, type INestApplication, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientKafka, EventPattern, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { type CallContext, CallContexts, MeshEvents, MeshModule, ServiceMesh } from 'nestjs-mesh';
import kafkajs, { type Kafka } from 'kafkajs';
import { lastValueFrom } from 'rxjs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KafkaServer } from './kafka-server.fixture.js';

const { logLevel } = kafkajs;
const LONG_POLL_MS = 50;
const title = `a service that Nest serves over Kafka, with the mesh in it ${KafkaServer.whyNot}`.trimEnd();

/** What the handlers of one instance see, and what they wait for. */
@Injectable()
class Work {
  readonly begun = Promise.withResolvers<void>();
  readonly gate = Promise.withResolvers<string>();
  readonly got: unknown[] = [];
}

@Controller()
class Handlers {
  constructor(
    private readonly contexts: CallContexts,
    private readonly work: Work,
  ) {}

  @MessagePattern('context')
  context(): CallContext | undefined {
    return this.contexts.current();
  }

  @MessagePattern('slow')
  slow(): Promise<string> {
    this.work.begun.resolve();
    return this.work.gate.promise;
  }

  @EventPattern('placed')
  placed(@Payload() payload: unknown): void {
    this.work.got.push(payload);
  }
}

@Module({
  imports: [MeshModule.forRoot({ service: { name: 'inbound' } }, { logging: false })],
  controllers: [Handlers],
  providers: [Work],
})
class Meshed {}

describe.skipIf(KafkaServer.whyNot)(title, () => {
  let server: KafkaServer;
  let client: ClientKafka;
  const apps: INestApplication[] = [];

  const clientOptions = () => ({
    brokers: [server.address],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 50 },
  });

  /** A consumer that leaves waits for the end of its long poll. */
  const consumerOptions = (groupId: string) => ({ groupId, maxWaitTimeInMs: LONG_POLL_MS, sessionTimeout: 6_000 });

  const instance = async (groupId: string): Promise<INestApplication> => {
    const app = await NestFactory.create(Meshed, { logger: false, abortOnError: false });
    const options = {
      client: clientOptions(),
      consumer: consumerOptions(groupId),
      subscribe: { fromBeginning: true },
    };
    app.connectMicroservice({ transport: Transport.KAFKA, options });
    apps.push(app);
    await app.startAllMicroservices();
    await app.init();
    return app;
  };

  /** How many messages of the topic the group will never get again. */
  const committed = async (groupId: string, topic: string): Promise<number> => {
    const admin = (client.unwrap() as Kafka).admin();
    await admin.connect();
    const [found] = await admin.fetchOffsets({ groupId: `${groupId}-server`, topics: [topic] });
    await admin.disconnect();
    return found!.partitions.reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0);
  };

  beforeAll(async () => {
    server = await KafkaServer.start();
    client = new ClientKafka({
      client: clientOptions(),
      consumer: consumerOptions('callers'),
    });
    for (const pattern of ['context', 'slow']) client.subscribeToResponseOf(pattern);
    await client.connect();
  }, 30_000);
  afterEach(async () => {
    await Promise.all(apps.splice(0).map((app) => app.close()));
  }, 30_000);
  afterAll(async () => {
    await client?.close();
    await server?.stop();
  }, 30_000);

  it('goes on with the correlation id, the trace and the deadline of who sent a message', async () => {
    await instance('context');
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const headers = { 'x-correlation-id': 'c-1', traceparent, 'x-mesh-timeout-ms': '3000' };
    const seen = await lastValueFrom(client.send<CallContext>('context', { value: {}, headers }));
    expect(seen).toMatchObject({ correlationId: 'c-1', traceparent });
    expect(seen.deadlineAt! - Date.now()).toBeGreaterThan(0);
    expect(seen.deadlineAt! - Date.now()).toBeLessThanOrEqual(3_000);
  }, 30_000);

  it('answers what runs when it drains, and leaves what comes then to the others of its group', async () => {
    const leaving = await instance('drain');
    const { begun, gate, got } = leaving.get(Work);
    const answer = lastValueFrom(client.send('slow', { value: {} }));
    await begun.promise;
    // What keeps the drain going when the message is answered.
    const job = Promise.withResolvers<void>();
    void leaving.get(ServiceMesh).run('job', () => job.promise);
    const intakeStopped = Promise.withResolvers<void>();
    leaving
      .get(MeshEvents)
      .on('lifecycle.shutdown-phase', ({ phase }) => phase === 'intake' && intakeStopped.resolve());
    const closed = leaving.close();
    apps.length = 0;
    await intakeStopped.promise;
    gate.resolve('finished');
    expect(await answer).toBe('finished');

    await lastValueFrom(client.emit('placed', { value: 'while it drains' }));
    // A consumer that goes on has it within its long poll.
    await sleep(6 * LONG_POLL_MS);
    expect(got).toEqual([]);
    job.resolve();
    await closed;
    expect(await committed('drain', 'slow')).toBe(1);
    expect(await committed('drain', 'placed')).toBe(0);
  }, 30_000);
});
