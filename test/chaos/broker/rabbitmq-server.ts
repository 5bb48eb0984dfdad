import { randomUUID } from 'node:crypto';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { Connection, type Channel, type Cmd, type MethodParams } from 'rabbitmq-client';

const HOST = '127.0.0.1';
const PORT = 5672;
const isReachable = await answers();

/** Whether the specs of RabbitMQ can run. In CI they must: without the server they fail instead of being skipped. */
export const rabbitMqIsHere = process.env['CI'] === 'true' || isReachable;
export const whyNot = rabbitMqIsHere ? '' : ` (skipped: nothing answers on ${HOST}:${PORT})`;

/**
 * The RabbitMQ of this machine behind a wire of our own, which can be cut, frozen and mended: the server itself belongs
 * to others as well. What is declared through it is deleted in the end.
 */
export class RabbitMqServer {
  readonly #names = `mesh-test-${randomUUID().slice(0, 8)}`;
  readonly #sockets = new Set<Socket>();
  readonly #declared = new Set<string>();
  #cases = 0;
  #proxy: Server | undefined;
  #port = 0;
  #stopRecording: () => void = () => undefined;

  static async start(): Promise<RabbitMqServer> {
    const server = new RabbitMqServer();
    server.#stopRecording = await server.#recordQueues();
    await server.start();
    return server;
  }

  get url(): string {
    return `amqp://guest:guest@${HOST}:${this.#port}`;
  }

  /** Names that no other case has. */
  nextPrefix(): string {
    return `${this.#names}.${++this.#cases}`;
  }

  /** The wire is there again. Does nothing while it is. */
  async start(): Promise<void> {
    if (this.#proxy) return;
    const proxy = (this.#proxy = createServer((client) => this.#join(client)));
    await new Promise<void>((resolve) => proxy.listen(this.#port, HOST, resolve));
    const address = proxy.address();
    if (typeof address === 'object' && address) this.#port = address.port;
  }

  /** Cuts every connection, and takes no new one. */
  async kill(): Promise<void> {
    const proxy = this.#proxy;
    this.#proxy = undefined;
    if (!proxy) return;
    const closed = new Promise((resolve) => proxy.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** The wire stays, and nothing comes through it. */
  hang(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  async stop(): Promise<void> {
    await this.kill();
    this.#stopRecording();
    const connection = new Connection({ hostname: HOST, port: PORT, username: 'guest', password: 'guest' });
    for (const queue of this.#declared) await connection.queueDelete({ queue }).catch(() => undefined);
    for (let n = 1; n <= this.#cases; n++) await connection.exchangeDelete({ exchange: `${this.#names}.${n}.events` });
    await connection.close();
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

  #join(client: Socket): void {
    const server = createConnection({ host: HOST, port: PORT });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('data', (data) => void other.write(data));
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
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

function answers(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: HOST, port: PORT, timeout: 1_000 });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}
