import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../free-port.js';
import type { NestTransportName } from '../../libs/mesh/src/broker/nest-transport/nest-transport.options.js';
import { answers, isInstalled, ServerProcess } from '../chaos/broker/server-process.js';
import { skipReason } from '../chaos/broker/chaos-server.js';
import { Wire } from '../chaos/broker/wire.js';

type NestOptions = Record<string, unknown>;

/** What messages go through, that a test may cut and mend. */
export interface NestServerUnderTest {
  /** As Nest's client and its server take them; queues of their own for each name. */
  sides(name: string): { readonly client: NestOptions; readonly server: NestOptions };
  kill(): Promise<void>;
  /** What is written from now on is taken, and goes no further. */
  hang(): void;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface NestServerKind {
  readonly via: NestTransportName;
  readonly whyNot: string;
  /** The largest payload that it takes, unless that is a MiB. */
  readonly maxPayloadBytes?: number;
  start(): Promise<NestServerUnderTest>;
}

const HOST = '127.0.0.1';
const AMQP = 5672;
/** The first packet of an MQTT client: version 3.1.1, clean session, no name. */
const MQTT_HELLO = '\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00';

/** A wire to a private server, which outlives the cut. */
async function behindWire(
  port: number,
  program: string,
  args: readonly string[],
  { hello, sides }: { hello?: string; sides(port: number): NestOptions },
): Promise<NestServerUnderTest> {
  const server = new ServerProcess({ program, args, port, ...(hello !== undefined && { hello }) });
  await server.start();
  const wire = await Wire.to(port);
  return {
    sides: () => ({ client: sides(wire.port), server: sides(wire.port) }),
    kill: () => wire.cut(),
    hang: () => wire.freeze(),
    start: () => wire.mend(),
    stop: async () => {
      await wire.cut();
      await server.kill();
    },
  };
}

export const tcp: NestServerKind = {
  via: 'tcp',
  whyNot: '',
  start: async () => {
    const port = await freePort();
    const wire = await Wire.to(port);
    return {
      sides: () => ({ client: { host: HOST, port: wire.port }, server: { host: HOST, port } }),
      kill: () => wire.cut(),
      hang: () => wire.freeze(),
      start: () => wire.mend(),
      stop: () => wire.cut(),
    };
  },
};

export const redis: NestServerKind = {
  via: 'redis',
  whyNot: skipReason(isInstalled('redis-server', '--version'), 'redis-server is not installed'),
  start: async () => {
    const port = await freePort();
    const args = ['--port', `${port}`, '--bind', HOST, '--save', '', '--appendonly', 'no'];
    return behindWire(port, 'redis-server', args, {
      hello: 'PING\r\n',
      sides: (to) => ({ host: HOST, port: to, retryDelay: 50 }),
    });
  },
};

export const nats: NestServerKind = {
  via: 'nats',
  whyNot: skipReason(isInstalled('nats-server', '--version'), 'nats-server is not installed'),
  maxPayloadBytes: 1_000_000,
  start: async () => {
    const port = await freePort();
    return behindWire(port, 'nats-server', ['-a', HOST, '-p', `${port}`], {
      sides: (to) => ({ servers: `nats://${HOST}:${to}`, reconnectTimeWait: 50 }),
    });
  },
};

export const mqtt: NestServerKind = {
  via: 'mqtt',
  whyNot: skipReason(isInstalled('sh', '-c', 'command -v mosquitto'), 'mosquitto is not installed'),
  start: async () => {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'mesh-mqtt-'));
    const config = join(folder, 'mosquitto.conf');
    // Otherwise it keeps small answers back for 40 ms.
    writeFileSync(config, `listener ${port} ${HOST}\nallow_anonymous true\nset_tcp_nodelay true\n`);
    const server = await behindWire(port, 'mosquitto', ['-c', config], {
      hello: MQTT_HELLO,
      sides: (to) => ({ url: `mqtt://${HOST}:${to}`, reconnectPeriod: 50 }),
    });
    const stop = async (): Promise<void> => {
      await server.stop();
      rmSync(folder, { recursive: true });
    };
    return { ...server, stop };
  },
};

export const rmq: NestServerKind = {
  via: 'rmq',
  whyNot: skipReason(await answers(AMQP, 'AMQP\x00\x00\x09\x01'), `nothing answers on ${HOST}:${AMQP}`),
  start: async () => {
    const names = `mesh-test-nest-${randomUUID().slice(0, 8)}`;
    const wire = await Wire.to(AMQP);
    return {
      sides: (name) => {
        const urls = [`amqp://guest:guest@${HOST}:${wire.port}`];
        // Gone a while after its last user, however the test ended.
        const queueOptions = { durable: true, arguments: { 'x-expires': 30_000 } };
        const socketOptions = { reconnectTimeInSeconds: 1 };
        const options = { urls, queue: `${names}.${name}`, queueOptions, socketOptions };
        return { client: options, server: options };
      },
      kill: () => wire.cut(),
      hang: () => wire.freeze(),
      start: () => wire.mend(),
      stop: () => wire.cut(),
    };
  },
};
