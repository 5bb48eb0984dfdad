import { randomUUID } from 'node:crypto';
import { Connection, type Channel, type Cmd, type MethodParams } from 'rabbitmq-client';
import { type BrokerInput, type ChaosServer, type ServerKind, skipReason } from './chaos-server.js';
import { answers } from './server-process.js';
import { Wire } from './wire.js';

const HOST = '127.0.0.1';
const PORT = 5672;
/** The first bytes of an AMQP client. */
export const HELLO = 'AMQP\x00\x00\x09\x01';
/** `basic.ack`: class 60, method 80. */
const ACKNOWLEDGEMENT = Buffer.from([0, 60, 0, 80]);
/** `basic.consume`. In its frame it comes after the type, the channel (2 bytes) and the size (4 bytes). */
const CONSUME = Buffer.from([0, 60, 0, 20]);
/** `channel.close` with code 406, no text, and no method to blame. */
const CLOSE = [0, 20, 0, 40, 1, 150, 0, 0, 0, 0, 0];

/**
 * The RabbitMQ of this machine behind a wire of our own, which is what dies and hangs here: the server itself belongs to
 * others as well. What is declared through it is deleted in the end.
 */
export class RabbitMqServer implements ChaosServer {
  readonly #names = `mesh-test-${randomUUID().slice(0, 8)}`;
  readonly #wire: Wire;
  readonly #declared = new Set<string>();
  readonly #exchanges = new Set<string>();
  #stopRecording: () => void = () => undefined;

  private constructor(wire: Wire) {
    this.#wire = wire;
  }

  static async start(): Promise<RabbitMqServer> {
    const server = new RabbitMqServer(await Wire.to(PORT));
    server.#stopRecording = await server.#recordQueues();
    return server;
  }

  options(names: string): BrokerInput {
    const namePrefix = this.prefix(names);
    this.#exchanges.add(`${namePrefix}.events`);
    const servers = `amqp://guest:guest@${HOST}:${this.#wire.port}`;
    return { transport: 'rabbitmq', servers, namePrefix, heartbeatMs: 1_000 };
  }

  /** What the names on the server begin with. */
  prefix(names: string): string {
    return `${this.#names}.${names}`;
  }

  start(): Promise<void> {
    return this.#wire.mend();
  }

  kill(): Promise<void> {
    return this.#wire.cut();
  }

  hang(): void {
    this.#wire.freeze();
  }

  resume(): void {
    // What is frozen stays so: clients come back over new connections.
  }

  crashBeforeAck(): Promise<void> {
    return this.#wire.cutBefore(isAcknowledgement);
  }

  /** The channel of the next consumer is closed in one breath with the answer that the consumer has begun. */
  closeChannelOfNextConsumer(): void {
    this.#wire.addToAnswer((bytes) => {
      const at = bytes.indexOf(CONSUME);
      if (at < 0) return undefined;
      const channel = bytes.subarray(at - 6, at - 4);
      return Buffer.from([1, ...channel, 0, 0, 0, CLOSE.length, ...CLOSE, 0xce]);
    });
  }

  async stop(): Promise<void> {
    await this.kill();
    this.#stopRecording();
    const connection = new Connection({ hostname: HOST, port: PORT, username: 'guest', password: 'guest' });
    for (const queue of this.#declared) await connection.queueDelete({ queue }).catch(() => undefined);
    for (const exchange of this.#exchanges) await connection.exchangeDelete({ exchange });
    await connection.close();
  }

  /** The queues that this process has declared, whether or not they are still there. */
  get declared(): ReadonlySet<string> {
    return this.#declared;
  }

  /** As the server has it. */
  async withChannel<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    const connection = new Connection({ hostname: HOST, port: PORT, username: 'guest', password: 'guest' });
    connection.on('error', () => undefined);
    try {
      const channel = await connection.acquire();
      return await work(channel).finally(() => channel.close());
    } finally {
      await connection.close();
    }
  }

  /** Nothing but its HTTP plugin would list the queues of a prefix: those that this process declares are noted. */
  async #recordQueues(): Promise<() => void> {
    const prototype = await this.withChannel(async (channel) => Object.getPrototypeOf(channel) as Channel);
    const declare = prototype.queueDeclare;
    const note = (queue: string): unknown => queue.startsWith(this.#names) && this.#declared.add(queue);
    prototype.queueDeclare = function (this: Channel, params: MethodParams[Cmd.QueueDeclare]) {
      note(params.queue ?? '');
      return declare.call(this, params);
    } as typeof declare;
    return () => void (prototype.queueDeclare = declare);
  }
}

/** Whether a message is acknowledged in these bytes of a client. */
export function isAcknowledgement(bytes: Buffer): boolean {
  return bytes.includes(ACKNOWLEDGEMENT);
}

export const rabbitMq: ServerKind = {
  name: 'RabbitMQ',
  whyNot: skipReason(await answers(PORT, HELLO), `nothing answers on ${HOST}:${PORT}`),
  start: () => RabbitMqServer.start(),
};
