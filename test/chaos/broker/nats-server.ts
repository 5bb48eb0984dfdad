import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../cache/redis-server.js';
import { type BrokerInput, type ChaosServer, type ServerKind, skipReason } from './chaos-server.js';
import { isInstalled, ServerProcess } from './server-process.js';
import { Wire } from './wire.js';

const ACKNOWLEDGEMENT = /^PUB \$JS\.ACK\.[^\r]*\r\n\+ACK/m;

/** A private nats-server with JetStream on a free port, whose store outlives it. */
export class NatsServer implements ChaosServer {
  readonly #store: string;
  readonly #process: ServerProcess;
  readonly #wire: Wire;

  private constructor(process: ServerProcess, wire: Wire, store: string) {
    this.#process = process;
    this.#wire = wire;
    this.#store = store;
  }

  static async start({ jetstream = true }: { readonly jetstream?: boolean } = {}): Promise<NatsServer> {
    const port = await freePort();
    const store = mkdtempSync(join(tmpdir(), 'mesh-nats-'));
    const args = ['-a', '127.0.0.1', '-p', String(port), ...(jetstream ? ['-js', '-sd', store] : [])];
    const server = new NatsServer(
      new ServerProcess({ program: 'nats-server', args, port }),
      await Wire.to(port),
      store,
    );
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#wire.port}`;
  }

  options(names: string): BrokerInput {
    const jetstream = { ackWaitMs: 2_000 };
    return { transport: 'nats', servers: this.url, subjectPrefix: names, pingIntervalMs: 500, jetstream };
  }

  async start(): Promise<void> {
    await this.#process.start();
    await this.#wire.mend();
  }

  kill(): Promise<void> {
    return this.#process.kill();
  }

  hang(): void {
    this.#process.hang();
  }

  resume(): void {
    this.#process.resume();
  }

  async crashBeforeAck(): Promise<void> {
    await this.#wire.cutBefore((bytes) => ACKNOWLEDGEMENT.test(bytes.toString('latin1')));
    await this.kill();
  }

  async stop(): Promise<void> {
    await this.#wire.cut();
    await this.kill();
    rmSync(this.#store, { recursive: true, force: true });
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
