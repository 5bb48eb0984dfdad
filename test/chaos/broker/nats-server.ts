import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../free-port.js';
import { type BrokerInput, type ServerKind, skipReason } from './chaos-server.js';
import { OwnServer } from './own-server.js';
import { isInstalled, ServerProcess } from './server-process.js';
import { Wire } from './wire.js';

const ACKNOWLEDGEMENT = /^PUB \$JS\.ACK\.[^\r]*\r\n\+ACK/m;

/** A private nats-server with JetStream on a free port, whose store outlives it. */
export class NatsServer extends OwnServer {
  static async start({
    jetstream = true,
    config = '',
  }: { readonly jetstream?: boolean; readonly config?: string } = {}): Promise<NatsServer> {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'mesh-nats-'));
    const file = join(folder, 'nats.conf');
    writeFileSync(file, config);
    const args = ['-c', file, '-a', '127.0.0.1', '-p', String(port), ...(jetstream ? ['-js', '-sd', folder] : [])];
    const server = new NatsServer({
      process: new ServerProcess({ program: 'nats-server', args, port }),
      wire: await Wire.to(port),
      folder,
      isAcknowledgement: (bytes) => ACKNOWLEDGEMENT.test(bytes.toString('latin1')),
    });
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  override options(names: string): BrokerInput {
    const jetstream = { ackWaitMs: 2_000 };
    return { transport: 'nats', servers: this.url, subjectPrefix: names, pingIntervalMs: 500, jetstream };
  }
}

export const nats: ServerKind = {
  name: 'NATS',
  whyNot: skipReason(isInstalled('nats-server', '--version'), 'nats-server is not installed'),
  // Headers count as well.
  maxPayloadBytes: 1_000_000,
  start: () => NatsServer.start(),
};

export const natsIsHere = nats.whyNot === '';
