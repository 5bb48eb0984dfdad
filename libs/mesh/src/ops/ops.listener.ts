import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ComponentContext, MeshComponent } from '../core/component.port.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { MeshEvents } from '../core/mesh.events.js';

export interface OpsListenerOptions {
  readonly port: number;
  readonly host: string;
}

/**
 * A small HTTP server of its own for probes, metrics and operators' endpoints. It depends on nothing, so that it
 * answers while the other components still start, and as long as they drain.
 */
export class OpsListener implements MeshComponent {
  readonly name = 'ops';
  readonly #options: OpsListenerOptions;
  readonly #events: MeshEvents;
  readonly #server: Server;

  constructor(options: OpsListenerOptions, events: MeshEvents, onRequest: RequestListener) {
    this.#options = options;
    this.#events = events;
    this.#server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, onRequest);
  }

  /** @throws {MeshConfigError} when the port is taken or may not be used. */
  async start({ signal }: ComponentContext): Promise<void> {
    const { port, host } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void =>
        reject(new MeshConfigError(`ops.port ${port} on ${host} can't be used (${error.code ?? error.message}).`));
      this.#server.once('error', onError);
      this.#server.listen({ port, host }, () => {
        this.#server.off('error', onError);
        this.#server.on('error', ({ message }) =>
          this.#events.emit('lifecycle.warning', { message: `ops.port: ${message}` }),
        );
        resolve();
      });
    });
    // Called off meanwhile: nobody will stop what has not started.
    if (signal.aborted) await this.stop();
    signal.throwIfAborted();
    this.#events.emit('ops.listening', { host, port: (this.#server.address() as AddressInfo).port });
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeIdleConnections();
    // Probes, scrapes and commands are short; what still runs now is a client that does not read.
    setImmediate(() => this.#server.closeAllConnections());
    await closed;
  }
}
