import { createServer } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freePort } from '../../../../../test/free-port.js';
import { SystemClock } from '../../core/clock.js';
import { SystemIds } from '../../core/ids.js';
import { ServiceInfo } from '../../core/service-info.js';
import { NestClient } from './nest-client.js';
import { TcpTransport } from './tcp.transport.js';

/** A transport that can't get ready for the answer. */
class Unready extends TcpTransport {
  override beforeRequest(): Promise<void> {
    return Promise.reject(new Error('no permission'));
  }
}

const sockets: { destroy(): void }[] = [];
const peer = createServer((socket) => void sockets.push(socket));
let port: number;

beforeEach(async () => {
  port = await freePort();
  await new Promise<void>((resolve) => void peer.listen(port, '127.0.0.1', resolve));
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  peer.close();
});

it('says of a request that could not be prepared that it was not sent', async () => {
  const service = new ServiceInfo('shop', 'shop-1');
  const transport = new Unready({ service, client: { host: '127.0.0.1', port }, server: {} });
  await transport.load(() => undefined);
  const unsent = Promise.withResolvers<string[]>();
  const client = new NestClient(transport, {
    clock: new SystemClock(),
    ids: new SystemIds(),
    onUp: () => undefined,
    onDown: () => undefined,
    onFailure: (_what, error) => unsent.reject(error),
    onReply: () => unsent.reject(new Error('it was answered')),
    onUnsent: (...told) => unsent.resolve(told),
  });
  await client.start(new AbortController().signal);
  client.request({ id: 'r-1', name: 'a', headers: {}, timeoutMs: 1_000, body: { data: Buffer.from('1') } });
  expect(await unsent.promise).toEqual(['r-1', 'no permission']);
  await client.stop();
});
