import type { Clock, Timer } from '../../core/clock.js';
import { LagLoop } from '../transport/lag-loop.js';

const PULL_MS = 30_000;
const AFTER_FAILURE_MS = 250;

/** As much of a JetStream message as is needed here. */
interface Renewable {
  working(): void;
  readonly info: { readonly pending: number };
}

interface Pull<M> extends AsyncIterable<M> {
  stop(error?: Error): void;
}

interface Pullable<M> {
  fetch(options: { max_messages: number; expires: number }): Promise<Pull<M>>;
  info(): Promise<{ readonly num_pending: number }>;
}

interface PullParts<M> {
  readonly clock: Clock;
  readonly concurrency: number;
  /** How often the server is told that a message is still being worked on. */
  readonly renewMs: number;
  readonly onMessage: (message: M) => void;
  readonly onFailure: (error: unknown) => void;
}

/**
 * Pulls as many messages as there is room for: what is pulled and what is not settled are never more than `concurrency`
 * together, so that other instances get the rest. The client's own endless pull knows no such bound.
 */
export class PullConsumer<M extends Renewable = Renewable> {
  readonly #open: () => Promise<Pullable<M>>;
  readonly #parts: PullParts<M>;
  readonly #unsettled = new Set<M>();
  readonly #pulls = new Set<Pull<M>>();
  readonly #measuring: LagLoop;
  #consumer: Pullable<M> | undefined;
  #requested = 0;
  #generation = 0;
  #lag = 0;
  #renewal: Timer | undefined;
  #again: Timer | undefined;
  #suspended = false;
  #stopped = false;

  constructor(open: () => Promise<Pullable<M>>, parts: PullParts<M>) {
    this.#open = open;
    this.#parts = parts;
    this.#measuring = new LagLoop(parts.clock, () => this.#measure());
  }

  /** Messages that wait on the server, as the last one told, or it itself a few seconds ago. */
  get lag(): number {
    return this.#lag;
  }

  async start(): Promise<void> {
    this.#consumer = await this.#open();
    this.#fill();
    this.#measuring.start();
  }

  /** The server is away: what was pulled is worked on, nothing more is asked for. */
  suspend(): void {
    this.#suspended = true;
    this.#endPulls();
  }

  /** The server is back; it has forgotten its pulls, perhaps more. */
  resume(): void {
    this.#suspended = false;
    this.#consumer = undefined;
    this.#fill();
  }

  onSettled(message: M): void {
    this.#unsettled.delete(message);
    if (this.#unsettled.size === 0) this.#stopRenewal();
    this.#fill();
  }

  /** Pulls no more. What was handed over is still renewed until it is settled. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#measuring.stop();
    this.#endPulls();
  }

  #fill(): void {
    if (this.#stopped || this.#suspended || this.#again) return;
    const { concurrency } = this.#parts;
    const room = concurrency - this.#unsettled.size - this.#requested;
    // Half of the room at once, rather than a pull for every single message.
    if (room <= 0 || (this.#requested > 0 && room * 2 < concurrency)) return;
    this.#requested += room;
    void this.#pull(room, this.#generation);
  }

  async #pull(count: number, generation: number): Promise<void> {
    let left = count;
    try {
      this.#consumer ??= await this.#open();
      const pull = await this.#consumer.fetch({ max_messages: count, expires: PULL_MS });
      if (generation !== this.#generation) return pull.stop();
      this.#pulls.add(pull);
      try {
        for await (const message of pull) {
          left--;
          if (generation === this.#generation) this.#requested--;
          this.#take(message);
        }
      } finally {
        this.#pulls.delete(pull);
      }
      if (generation !== this.#generation) return;
      this.#requested -= left;
      this.#fill();
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#requested -= left;
      this.#consumer = undefined;
      this.#parts.onFailure(error);
      this.#fillLater();
    }
  }

  /** Once, however many pulls failed together. */
  #fillLater(): void {
    this.#again ??= this.#parts.clock.setTimer(() => {
      this.#again = undefined;
      this.#fill();
    }, AFTER_FAILURE_MS);
  }

  #take(message: M): void {
    this.#lag = message.info.pending;
    this.#unsettled.add(message);
    this.#renewal ??= this.#parts.clock.setTimer(() => this.#renew(), this.#parts.renewMs);
    this.#parts.onMessage(message);
    this.#fill();
  }

  #renew(): void {
    for (const message of this.#unsettled) message.working();
    this.#renewal = this.#parts.clock.setTimer(() => this.#renew(), this.#parts.renewMs);
  }

  async #measure(): Promise<void> {
    const info = this.#suspended ? undefined : await this.#consumer?.info();
    if (info) this.#lag = info.num_pending;
  }

  #stopRenewal(): void {
    this.#renewal?.cancel();
    this.#renewal = undefined;
  }

  #endPulls(): void {
    this.#generation++;
    this.#requested = 0;
    this.#again?.cancel();
    this.#again = undefined;
    for (const pull of this.#pulls) pull.stop();
    this.#pulls.clear();
  }
}
