import type { Writable } from 'node:stream';
import type { Connection } from 'rabbitmq-client';

/**
 * Lets what is written in one turn of the event loop go out together. The client writes each message by itself, and with
 * many on their way those system calls are a third of what a message costs.
 */
export class WriteBatch {
  readonly #connection: Connection;
  #held: Writable | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Holds back what is written from now on until the end of the turn. */
  begin(): void {
    if (this.#held) return;
    // The client keeps its socket to itself: without it, each message goes out alone.
    const { _socket: socket } = this.#connection as unknown as { readonly _socket?: Writable };
    if (typeof socket?.cork !== 'function') return;
    socket.cork();
    this.#held = socket;
    setImmediate(() => {
      this.#held = undefined;
      socket.uncork();
    });
  }
}
