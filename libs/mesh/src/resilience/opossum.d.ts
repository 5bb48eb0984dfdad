/** The little of opossum that the adapter uses; the package has no types of its own. */
declare module 'opossum' {
  import type { EventEmitter } from 'node:events';

  class Status extends EventEmitter {
    readonly stats: Readonly<Record<string, unknown>>;
  }

  class CircuitBreaker extends EventEmitter {
    static newStatus(options: object): Status;
    constructor(action: () => unknown, options: object);
    options: object;
    semaphore: unknown;
    readonly opened: boolean;
    readonly halfOpen: boolean;
    readonly closed: boolean;
    readonly stats: Readonly<Record<string, unknown>>;
    open(): void;
    close(): void;
    enable(): void;
    disable(): void;
    shutdown(): void;
  }

  export default CircuitBreaker;
}
