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
  /** Those that wait for the connection. */
  readonly #waiting = new Fifo<Outgoing>();
  /** Those that the server did not take, until they are offered again: each for itself, others go by. */
  readonly #paused = new Map<Outgoing, Timer>();
  readonly #sending = new Set<Outgoing>();
  readonly #timeouts: TimeoutList<Outgoing>;
  #waitingMessages = 0;
  #messages = 0;
  #bytes = 0;

  constructor(parts: OutboxParts) {
    this.#parts = parts;
    this.#timeouts = new TimeoutList(parts.clock);
  }

  /** Messages whose publishers wait. */
  get size(): number {
    return this.#messages;
  }

  /** Messages that wait for the connection, or to be offered again. */
  get waiting(): number {
    return this.#waitingMessages + this.#paused.size;
  }

  /** What the publishers wait for, and since when. */
  get underway(): Iterable<{ readonly name: string; readonly startedAt: number }> {
    return this.#timeouts;
  }

  /**
   * Resolves when the server gave the guarantee.
   * @throws {OverloadedError} when there is no room to wait.
   * @throws {PublishUnconfirmedError} when the time is over first, or the connection broke under a message that was only to be `sent`.
   */
  publish(message: OutgoingMessage, guarantee: 'sent' | 'confirmed', timeoutMs: number): Promise<void> {
    const isSendable = this.#parts.isConnected() && this.#waitingMessages === 0;
    this.#assertRoom(message, isSendable);
    const startedAt = this.#parts.clock.monotonic();
    const outgoing = new Outgoing(message, { guarantee, startedAt }, () => this.#expire(outgoing, timeoutMs));
    this.#messages++;
    this.#bytes += outgoing.bytes;
    this.#timeouts.add(outgoing, startedAt + timeoutMs);
    if (isSendable) void this.#send(outgoing);
    else this.#wait(outgoing);
    return outgoing.publisher.promise;
  }

  /** The connection is back: everything that waited goes, in its order. */
  flush(): void {
    for (let left = this.#waiting.length; left > 0 && this.#parts.isConnected(); left--) {
      const outgoing = this.#waiting.shift()!;
      if (outgoing.ended) continue;
      this.#leaveQueue(outgoing);
      void this.#send(outgoing);
    }
  }

  /**
   * The connection broke: what was on its way has an unknown outcome. A confirmed message waits for the next connection,
   * under the same id; one that was only to be sent is not sent twice.
   */
  onDisconnected(reason: string): void {
    const underway = [...this.#paused.keys(), ...this.#sending];
    this.#sending.clear();
    for (const outgoing of underway) {
      this.#resume(outgoing);
      if (outgoing.guarantee === 'confirmed') this.#wait(outgoing);
      else this.#reject(outgoing, reason);
    }
  }

  /** Rejects what is still here; nothing waits any longer. */
  stop(): void {
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
    else if (outgoing.guarantee === 'confirmed') this.#pause(outgoing);
    else this.#reject(outgoing, 'the connection broke under it', error);
  }

  #pause(outgoing: Outgoing): void {
    if (!this.#parts.isConnected()) return this.#wait(outgoing);
    const again = (): void => {
      this.#paused.delete(outgoing);
      void this.#send(outgoing);
    };
    this.#paused.set(outgoing, this.#parts.clock.setTimer(again, AGAIN_MS));
  }

  #resume(outgoing: Outgoing): void {
    this.#paused.get(outgoing)?.cancel();
    this.#paused.delete(outgoing);
  }

  #wait(outgoing: Outgoing): void {
    this.#waiting.push(outgoing);
    outgoing.waits = true;
    this.#waitingMessages++;
  }

  #leaveQueue(outgoing: Outgoing): void {
    outgoing.waits = false;
    this.#waitingMessages--;
  }

  #expire(outgoing: Outgoing, timeoutMs: number): void {
    const why = outgoing.outcome === 'unsent' ? 'the broker stayed away' : 'the broker did not confirm it';
    // A broker that stops ends it before its time.
    const waitedMs = Math.min(timeoutMs, this.#parts.clock.monotonic() - outgoing.startedAt);
    this.#reject(outgoing, `${why} for ${Math.round(waitedMs)} ms`);
  }

  #reject(outgoing: Outgoing, reason: string, cause?: unknown): void {
    const { message, outcome } = outgoing;
    this.#end(outgoing).reject(
      new PublishUnconfirmedError({ topic: message.name, id: message.id }, outcome, { reason, cause }),
    );
  }

  #end(outgoing: Outgoing): PromiseWithResolvers<void> {
    outgoing.ended = true;
    this.#sending.delete(outgoing);
    this.#resume(outgoing);
    this.#timeouts.remove(outgoing);
    if (outgoing.waits) {
      // It stays in the queue, which `flush` skips, until half of the queue is like it.
      this.#leaveQueue(outgoing);
      if (this.#waiting.length > 2 * this.#waitingMessages) this.#sweep();
    }
    this.#bytes -= outgoing.bytes;
    if (--this.#messages === 0) this.#parts.onIdle();
    return outgoing.publisher;
  }

  /** Bytes are those of all messages: what is on its way is kept too, and waits here when the connection breaks. */
  #assertRoom({ name, body }: OutgoingMessage, isSendable: boolean): void {
    const { maxInFlight, buffer } = this.#parts.options.current;
    const what = `The message for "${name}"`;
    if (this.#bytes + body.data.length > buffer.maxBytes)
      throw new OverloadedError(what, buffer.maxBytes, 'bytes wait for the broker');
    if (isSendable && this.#messages >= maxInFlight)
      throw new OverloadedError(what, maxInFlight, "messages wait for the server's answer");
    if (isSendable) return;
    if (this.#waitingMessages >= buffer.maxMessages)
      throw new OverloadedError(what, buffer.maxMessages, 'messages wait for the broker');
  }

  /** Those that ended would keep their payloads, which no limit counts any more. */
  #sweep(): void {
    const alive = [...this.#waiting].filter(({ ended }) => !ended);
    this.#waiting.clear();
    for (const outgoing of alive) this.#waiting.push(outgoing);
  }
}

class Outgoing extends Expiring {
  readonly publisher = Promise.withResolvers<void>();
  readonly guarantee: 'sent' | 'confirmed';
  readonly startedAt: number;
  outcome: Outcome = 'unsent';
  attempts = 0;
  ended = false;
  waits = false;

  constructor(
    readonly message: OutgoingMessage,
    { guarantee, startedAt }: { readonly guarantee: 'sent' | 'confirmed'; readonly startedAt: number },
    override readonly expire: () => void,
  ) {
    super();
    this.guarantee = guarantee;
    this.startedAt = startedAt;
  }

  get name(): string {
    return this.message.name;
  }

  get bytes(): number {
    return this.message.body.data.length;
  }
}
