import { rmSync } from 'node:fs';
import type { BrokerInput, ChaosServer } from './chaos-server.js';
import type { ServerProcess } from './server-process.js';
import type { Wire } from './wire.js';

export interface OwnServerParts {
  readonly process: ServerProcess;
  readonly wire: Wire;
  /** Where it keeps what outlives it, until the end. */
  readonly folder: string;
  /** Whether a message is acknowledged in these bytes of a client. */
  readonly isAcknowledgement: (bytes: Buffer) => boolean;
}

/** A server that is ours alone, a process behind a wire: what is said of it here is done to the process. */
export abstract class OwnServer implements ChaosServer {
  readonly #parts: OwnServerParts;

  constructor(parts: OwnServerParts) {
    this.#parts = parts;
  }

  abstract options(names: string): BrokerInput;

  /** Where clients find it. */
  get port(): number {
    return this.#parts.wire.port;
  }

  async start(): Promise<void> {
    await this.#parts.process.start();
    await this.#parts.wire.mend();
  }

  kill(): Promise<void> {
    return this.#parts.process.kill();
  }

  hang(): void {
    this.#parts.process.hang();
  }

  resume(): void {
    this.#parts.process.resume();
  }

  async crashBeforeAck(): Promise<void> {
    const { wire, isAcknowledgement } = this.#parts;
    await wire.cutBefore(isAcknowledgement);
    await this.kill();
  }

  async stop(): Promise<void> {
    const { wire, folder } = this.#parts;
    await wire.cut();
    await this.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}
