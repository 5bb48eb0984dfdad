import 'reflect-metadata';
import { Controller, type INestMicroservice, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, type MicroserviceOptions } from '@nestjs/microservices';
import { type CallContext, CallContexts, MeshModule } from 'nestjs-mesh';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RemoteBroker, remoteBroker } from '../chaos/broker/remote-broker.fixture.js';
import { NEST_TRANSPORT } from './nest-points.fixture.js';
import { mqtt, nats, type NestServerUnderTest, redis, rmq, tcp } from './nest-servers.fixture.js';

/** A service that Nest serves by a transport of its own, with the mesh in it. */
@Controller()
class Handlers {
  constructor(private readonly contexts: CallContexts) {}

  @MessagePattern('context')
  context(): CallContext | undefined {
    return this.contexts.current();
  }
}

@Module({
  imports: [MeshModule.forRoot({ service: { name: 'inbound' } }, { logging: false })],
  controllers: [Handlers],
})
class Meshed {}

describe.each([tcp, redis, nats, mqtt, rmq].map((kind) => [kind.via, kind] as const))(
  "a message that Nest's own %s transport brings in",
  (via, kind) => {
    const title = `goes on with the correlation id, the trace and the deadline of who sent it ${kind.whyNot}`.trimEnd();
    let server: NestServerUnderTest | undefined;
    let service: INestMicroservice | undefined;
    let caller: RemoteBroker | undefined;

    beforeEach(async () => {
      if (kind.whyNot) return;
      server = await kind.start();
      const sides = server.sides('inbound');
      // MQTT has headers since its version 5, and Nest takes 3.1.1 unless it is told.
      const options = { ...sides.server, ...(via === 'mqtt' && { protocolVersion: 5 }) };
      const transport = { transport: NEST_TRANSPORT[via], options } as MicroserviceOptions;
      service = await NestFactory.createMicroservice(Meshed, { ...transport, logger: false, abortOnError: false });
      await service.listen();
      caller = await remoteBroker({ transport: 'nest', via, client: sides.client });
    });
    afterEach(async () => {
      await caller?.broker.stop();
      await service?.close();
      await server?.stop();
    });

    it.skipIf(kind.whyNot)(title, async () => {
      const { broker, contexts } = caller!;
      const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
      const deadlineAt = Date.now() + 3_000;
      const context = { correlationId: 'c-1', traceparent, tracestate: 'vendor=1', deadlineAt };
      const seen = await contexts.run(context, () => broker.request<CallContext>('context', {}));
      expect(seen).toMatchObject({ correlationId: 'c-1', traceparent, tracestate: 'vendor=1' });
      // The remaining time starts anew at the receiver.
      expect(seen.deadlineAt! - deadlineAt).toBeLessThan(1_000);
    });
  },
);
