import type { BaseRpcContext } from '@nestjs/microservices';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../../../../../test/free-port.js';
import { SystemClock } from '../../core/clock.js';
import { SystemIds } from '../../core/ids.js';
import { ServiceInfo } from '../../core/service-info.js';
import { NestServer } from './nest-server.js';
import type { NestListener } from './nest-transport.js';
import { TcpTransport } from './tcp.transport.js';

/** A transport that takes its time to leave a channel. */
class SlowToLeave extends TcpTransport {
  readonly left = Promise.withResolvers<void>();
  override closeChannel(): Promise<void> {
    return this.left.promise;
  }
}

const noContext = {} as BaseRpcContext;

describe("the intakes over a server of Nest's", () => {
  let transport: SlowToLeave;
  let server: NestServer;
  let listener: NestListener;

  beforeEach(async () => {
    const address = { host: '127.0.0.1', port: await freePort() };
    transport = new SlowToLeave({ service: new ServiceInfo('shop', 'shop-1'), client: {}, server: address });
    await transport.load(() => undefined);
    const [onUp, onDown] = [() => undefined, () => undefined];
    server = new NestServer(transport, { clock: new SystemClock(), ids: new SystemIds(), onUp, onDown });
    listener = await server.listen();
  });
  afterEach(() => server.stop());

  it('take events until the channel is left, and none afterwards', async () => {
    const got: string[] = [];
    const spec = { topic: 'n', group: 'g', durable: false, replay: false, concurrency: 1 };
    const intake = await server.consume(spec, ({ body }) => void got.push(String(body.data)));
    const stopped = intake.stop();
    await listener.handleEvent('n', { pattern: 'n', data: 1 }, noContext);
    transport.left.resolve();
    await stopped;
    await listener.handleEvent('n', { pattern: 'n', data: 2 }, noContext);
    expect(got).toEqual(['1']);
  });

  it('leave a pattern to who serves it meanwhile', async () => {
    const first = await server.serve('a', ({ reply }) => reply({ ok: true, body: { data: Buffer.from('1') } }));
    const stopped = first.stop();
    await server.serve('a', ({ reply }) => reply({ ok: true, body: { data: Buffer.from('2') } }));
    transport.left.resolve();
    await stopped;
    expect(await listener.getHandlerByPattern('a')?.(undefined, noContext)).toBe(2);
  });
});
