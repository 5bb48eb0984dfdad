import { once } from 'node:events';
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

const HOST = '127.0.0.1';

/** A wire to a server: it can be cut, frozen and mended, cut just before certain bytes get through, and add words of its own. */
export class Wire {
  readonly #to: number;
  readonly #sockets = new Set<Socket>();
  #proxy: Server | undefined;
  #port = 0;
  #guard: ((bytes: Buffer) => boolean) | undefined;
  #wordsAfter: ((bytes: Buffer) => Buffer | undefined) | undefined;

  private constructor(to: number) {
    this.#to = to;
  }

  /** To the server on this port of the machine. */
  static async to(port: number): Promise<Wire> {
    const wire = new Wire(port);
    await wire.mend();
    return wire;
  }

  get port(): number {
    return this.#port;
  }

  /** Does nothing while it is whole. */
  async mend(): Promise<void> {
    if (this.#proxy) return;
    this.#proxy = createServer((client) => this.#join(client)).listen(this.#port, HOST);
    await once(this.#proxy, 'listening');
    this.#port = (this.#proxy.address() as AddressInfo).port;
  }

  /** Ends every connection, and takes no new one. */
  async cut(): Promise<void> {
    const proxy = this.#proxy;
    this.#proxy = undefined;
    if (!proxy) return;
    const closed = once(proxy, 'close');
    proxy.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** The connections stay, and nothing comes through them; new ones work. */
  freeze(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  /** Cuts itself before bytes for which `isIt` holds reach the server; resolves then. */
  cutBefore(isIt: (bytes: Buffer) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#guard = (bytes) => {
        if (!isIt(bytes)) return false;
        this.#guard = undefined;
        this.cut().then(resolve, reject);
        return true;
      };
    });
  }

  /** Once: when `wordsAfter` finds words for bytes of a client, the server's next bytes to that client end with them. */
  addToAnswer(wordsAfter: (bytes: Buffer) => Buffer | undefined): void {
    this.#wordsAfter = wordsAfter;
  }

  #join(client: Socket): void {
    const server = createConnection({ host: HOST, port: this.#to });
    let words: Buffer | undefined;
    this.#pass(client, server, (bytes) => {
      words ??= this.#wordsAfter?.(bytes);
      if (words) this.#wordsAfter = undefined;
      return this.#guard?.(bytes) ?? false;
    });
    this.#pass(server, client, (bytes) => {
      if (!words) return false;
      client.write(Buffer.concat([bytes, words]));
      words = undefined;
      return true;
    });
  }

  #pass(from: Socket, to: Socket, isStopped: (bytes: Buffer) => boolean): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (bytes) => void (isStopped(bytes) || to.write(bytes)));
    from.on('error', () => undefined);
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}
