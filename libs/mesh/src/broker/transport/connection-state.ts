import type { MeshEvents } from '../../core/mesh.events.js';

/** Whether the server is there, as its driver says, and the events that tell the rest of the service. */
export class ConnectionState {
  readonly #transport: string;
  readonly #events: MeshEvents;
  #awayReason: string | undefined = 'it was not started';
  #told: 'up' | 'away' | undefined;
  #breaks = 0;

  constructor(transport: string, events: MeshEvents) {
    this.#transport = transport;
    this.#events = events;
  }

  /** Why the connection is away; `undefined` while it is there. */
  get awayReason(): string | undefined {
    return this.#awayReason;
  }

  get isUp(): boolean {
    return this.#awayReason === undefined;
  }

  /** How often it was lost, or said not to be there, until now. */
  get breaks(): number {
    return this.#breaks;
  }

  /** Returns whether that is news. */
  up(): boolean {
    this.#awayReason = undefined;
    return this.#tell('up', 'connected');
  }

  /** Returns whether that is news; at the start it is. */
  away(reason: string): boolean {
    this.#awayReason = reason;
    this.#breaks++;
    return this.#tell('away', reason);
  }

  #tell(state: 'up' | 'away', reason: string): boolean {
    if (this.#told === state) return false;
    this.#told = state;
    this.#events.emit('broker.connection', { transport: this.#transport, state, reason });
    return true;
  }
}
