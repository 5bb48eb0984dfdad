import type { Server as NetServer, Socket } from 'node:net';
import { NestTransport, type NestListener, type NestProxy, PASSING_ON } from './nest-transport.js';

/** One connection to one peer, and a port for others. */
export class TcpTransport extends NestTransport {
  override readonly name = 'tcp';
  override readonly capabilities = { ...PASSING_ON, broadcast: false, noResponder: true };
  override readonly address = 'port';
  readonly #sockets = new Set<Socket>();

  override createClient(): NestProxy {
    return new this.nest.ClientTCP(this.client);
  }

  override createServer(): NestListener {
    return new this.nest.ServerTCP(this.server);
  }

  /** Otherwise small messages wait for the acknowledgement of those before them. */
  override onConnected(client: NestProxy): void {
    client.unwrap<Socket>().setNoDelay(true);
  }

  /** Nest hands the message to the socket and waits for nothing: an empty write after it ends when it was written. */
  override dispatched(client: NestProxy): Promise<void> {
    return new Promise((resolve, reject) => {
      client.unwrap<Socket>().write('', (error) => (error ? reject(error) : resolve()));
    });
  }

  override onListening(server: NestListener): void {
    const track = (socket: Socket): void => {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    };
    const door = server.unwrap<NetServer>();
    // Over TLS it is the socket on top that has to be ended.
    door.on('setSecureContext' in door ? 'secureConnection' : 'connection', track);
  }

  /** Connections that are there stay: their callers are answered. */
  override async pause(server: NestListener): Promise<void> {
    server.unwrap<NetServer>().close();
  }

  /** Nest destroys the sockets; ended first, they let out what is written. */
  override async beforeClose(): Promise<void> {
    const closed = [...this.#sockets].map(
      (socket) => new Promise<void>((resolve) => socket.once('close', resolve).end()),
    );
    await Promise.all(closed);
  }
}
