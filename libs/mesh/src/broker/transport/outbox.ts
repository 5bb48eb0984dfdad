import type { Clock, Timer } from '../../core/clock.js';
import type { LiveOptions } from '../../core/live-options.js';
import { isMeshError } from '../../core/mesh.error.js';
import { OverloadedError, PublishUnconfirmedError, type Outcome } from '../broker.errors.js';
import type { RemoteBrokerOptions } from '../broker.options.js';
import { Fifo } from '../fifo.js';
import { Expiring, TimeoutList } from '../timeout-list.js';
import type { OutgoingMessage, TransportDriver } from './transport-driver.port.js';

/** Pause before a message that a connected server did not take is offered again: it may just be starting. */
const AGAIN_MS = 100;

interface OutboxParts {
  readonly clock: Clock;
  readonly driver: TransportDriver;
  readonly options: LiveOptions<RemoteBrokerOptions>;
  readonly isConnected: () => boolean;
  readonly onIdle: () => void;
}

/**
 * Events on their way to the server. While it is away they wait here, in bounded memory and at most until their time is
 * over; a confirmed one is offered again until the server answers. Nobody is told "done" before it is.
 */
export class Outbox {
  readonly #parts: OutboxParts;
  readonly #waiting = new Fifo<Outgoing>();
  readonly #timeouts: TimeoutList<Outgoing>;
  readonly #sending = new Set<Outgoing>();
  #waitingMessages = 0;
  #waitingBytes = 0;
  #underway = 0;
  #again: Timer | undefined;

  constructor(parts: OutboxParts) {
    this.#parts = parts;
    this.#timeouts = new TimeoutList(parts.clock);
  }

  /** Messages whose publishers wait. */
  get size(): number {
    return this.#underway;
  }

  /** Messages that wait for the connection. */
  get waiting(): number {
    return this.#waitingMessages;
  }

  /**
   * Resolves when the server gave the guarantee.
   * @throws {OverloadedError} when there is no room to wait.
   * @throws {PublishUnconfirmedError} when the time is over first, or the connection broke under a message that was only to be `sent`.
   */
  publish(message: OutgoingMessage, guarantee: 'sent' | 'confirmed', timeoutMs: number): Promise<void> {
    const isSendable = this.#parts.isConnected() && this.#waitingMessages === 0;
    if (isSendable) this.#assertFewSending(message);
    else this.#assertRoom(message);
    const outgoing = new Outgoing(message, guarantee, () => {
      const outcome = outgoing.outcome;
      const why = outcome === 'unsent' ? 'the broker stayed away' : 'the broker did not confirm it';
      this.#end(outgoing).reject(new PublishUnconfirmedError(message.name, outcome, `${why} for ${timeoutMs} ms`));
    });
    this.#underway++;
    this.#timeouts.add(outgoing, this.#parts.clock.monotonic() + timeoutMs);
    if (isSendable) void this.#send(outgoing);
    else this.#wait(outgoing);
    return outgoing.publisher.promise;
  }

  /** The connection is back: everything that waited goes, in its order. */
  flush(): void {
    this.#again?.cancel();
    this.#again = undefined;
    for (let left = this.#waiting.length; left > 0 && this.#parts.isConnected(); left--) {
      const outgoing = this.#waiting.shift()!;
      if (!outgoing.ended) this.#leaveQueue(outgoing);
      if (!outgoing.ended) void this.#send(outgoing);
    }
  }

  /**
   * The connection broke: what was on its way has an unknown outcome. A confirmed message waits for the next connection,
   * under the same id; one that was only to be sent is not sent twice.
   */
  onDisconnected(reason: string): void {
    const underway = [...this.#sending];
    this.#sending.clear();
    for (const outgoing of underway) {
      if (outgoing.guarantee === 'confirmed') this.#wait(outgoing);
      else this.#end(outgoing).reject(new PublishUnconfirmedError(outgoing.message.name, 'unknown', reason));
    }
  }

  /** Rejects what is still here; nothing waits any longer. */
  stop(): void {
    this.#again?.cancel();
    this.#again = undefined;
    this.#timeouts.expireAll();
    this.#waiting.clear();
  }

  async #send(outgoing: Outgoing): Promise<void> {
    const { message, guarantee } = outgoing;
    outgoing.outcome = 'unknown';
    const attempt = ++outgoing.attempts;
    this.#sending.add(outgoing);
    try {
      await this.#parts.driver.publish(message, guarantee);
      // Also an answer to an earlier attempt is an answer.
      if (!outgoing.ended) this.#end(outgoing).resolve();
    } catch (error) {
      if (!outgoing.ended && attempt === outgoing.attempts && !outgoing.waits) this.#onFailure(outgoing, error);
    }
  }

  #onFailure(outgoing: Outgoing, error: unknown): void {
    this.#sending.delete(outgoing);
    if (isMeshError(error)) this.#end(outgoing).reject(error);
    else if (outgoing.guarantee === 'confirmed') this.#wait(outgoing);
    else
      this.#end(outgoing).reject(
        new PublishUnconfirmedError(outgoing.message.name, 'unknown', 'the connection broke under it', error),
      );
  }

  #wait(outgoing: Outgoing): void {
    this.#waiting.push(outgoing);
    outgoing.waits = true;
    this.#waitingMessages++;
    this.#waitingBytes += outgoing.message.body.data.length;
    if (this.#parts.isConnected()) this.#again ??= this.#parts.clock.setTimer(() => this.flush(), AGAIN_MS);
  }

  #leaveQueue(outgoing: Outgoing): void {
    outgoing.waits = false;
    this.#waitingMessages--;
    this.#waitingBytes -= outgoing.message.body.data.length;
  }

  #end(outgoing: Outgoing): PromiseWithResolvers<void> {
    outgoing.ended = true;
    this.#sending.delete(outgoing);
    this.#timeouts.remove(outgoing);
    // It stays in the queue as a husk, which `flush` skips.
    if (outgoing.waits) this.#leaveQueue(outgoing);
    if (--this.#underway === 0) this.#parts.onIdle();
    return outgoing.publisher;
  }

  #assertFewSending({ name }: OutgoingMessage): void {
    const { maxInFlight } = this.#parts.options.current;
    if (this.#sending.size >= maxInFlight)
      throw new OverloadedError(`The message for "${name}"`, maxInFlight, "messages wait for the server's answer");
  }

  #assertRoom({ name, body }: OutgoingMessage): void {
    const { maxMessages, maxBytes } = this.#parts.options.current.buffer;
    const what = `The message for "${name}"`;
    if (this.#waitingMessages >= maxMessages)
      throw new OverloadedError(what, maxMessages, 'messages wait for the broker');
    if (this.#waitingBytes + body.data.length > maxBytes)
      throw new OverloadedError(what, maxBytes, 'bytes wait for the broker');
    if (this.#waiting.length > 2 * maxMessages) this.#sweep();
  }

  #sweep(): void {
    const alive = [...this.#waiting].filter(({ ended }) => !ended);
    this.#waiting.clear();
    for (const outgoing of alive) this.#waiting.push(outgoing);
  }
}

class Outgoing extends Expiring {
  readonly publisher = Promise.withResolvers<void>();
  outcome: Outcome = 'unsent';
  attempts = 0;
  ended = false;
  waits = false;

  constructor(
    readonly message: OutgoingMessage,
    readonly guarantee: 'sent' | 'confirmed',
    override readonly expire: () => void,
  ) {
    super();
  }
}
