import type { Clock, Timer } from '../core/clock.js';
import type { RawResponse, RawSink } from '../core/raw-route.js';
import type { EventJournal, JournalEntry } from './event-journal.js';
import { HEARTBEAT_MS, MAX_STREAMS, MAX_UNREAD_BYTES, MAX_UNSENT_EVENTS, RECONNECT_MS } from './ops.constants.js';
import { OpsStreamRefusedError } from './ops.errors.js';
import { safeJson } from './safe-json.js';

/** The journal as server-sent events. Streams end themselves when the service begins to stop: they would hold it up. */
export class EventFeed {
  readonly #journal: EventJournal;
  readonly #clock: Clock;
  readonly #sinks = new Set<RawSink>();
  #unfollow: (() => void) | undefined;
  #heartbeat: Timer | undefined;
  /** Sent at the end of the turn: the call that emitted them must not wait until they are text. */
  #unsent: JournalEntry[] = [];
  #flush: NodeJS.Immediate | undefined;
  #closed = false;

  constructor(journal: EventJournal, clock: Clock) {
    this.#journal = journal;
    this.#clock = clock;
  }

  get size(): number {
    return this.#sinks.size;
  }

  /**
   * A stream that begins after the event `lastId`, or now.
   * @throws {OpsStreamRefusedError} when too many are open, or the service is stopping.
   */
  open(lastId?: number): RawResponse {
    if (this.#closed) throw new OpsStreamRefusedError('The service is stopping; connect to another instance.');
    if (this.#sinks.size >= MAX_STREAMS)
      throw new OpsStreamRefusedError(`${MAX_STREAMS} streams are open, which is the limit; close one of them.`);
    // An id from before a restart, or from another instance, says nothing here.
    const known = lastId !== undefined && lastId <= this.#journal.lastId;
    const missed = known ? this.#journal.after(lastId) : [];
    return {
      status: 200,
      headers: { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' },
      body: `retry: ${RECONNECT_MS}\n\n${missed.map(frameOf).join('')}`,
      stream: (sink) => this.#add(sink),
    };
  }

  /** Ends every stream and opens none any more. */
  close(): void {
    this.#closed = true;
    this.#sendUnsent();
    for (const sink of this.#sinks) sink.end();
    this.#sinks.clear();
    this.#rest();
  }

  #add(sink: RawSink): void {
    if (this.#closed) return sink.end();
    // Not for the newcomer, who has them already if it asked for them.
    this.#sendUnsent();
    this.#sinks.add(sink);
    sink.onClose(() => this.#remove(sink));
    this.#unfollow ??= this.#journal.follow((entry) => this.#sendLater(entry));
    this.#heartbeat ??= this.#beatLater();
  }

  #sendLater(entry: JournalEntry): void {
    if (this.#unsent.length === MAX_UNSENT_EVENTS) this.#unsent.shift();
    this.#unsent.push(entry);
    this.#flush ??= setImmediate(() => this.#sendUnsent());
  }

  #sendUnsent(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    const frames = this.#unsent.map(frameOf).join('');
    this.#unsent = [];
    if (frames !== '') this.#send(frames);
  }

  #send(text: string): void {
    for (const sink of this.#sinks) {
      sink.write(text);
      // It comes back with the id of what it has seen last, if it still reads at all.
      if (sink.bufferedBytes > MAX_UNREAD_BYTES) {
        this.#remove(sink);
        sink.end();
      }
    }
  }

  #beatLater(): Timer {
    return this.#clock.setTimer(() => {
      this.#send(': alive\n\n');
      if (this.#sinks.size > 0) this.#heartbeat = this.#beatLater();
    }, HEARTBEAT_MS);
  }

  #remove(sink: RawSink): void {
    if (this.#sinks.delete(sink) && this.#sinks.size === 0) this.#rest();
  }

  /** Nobody listens: no event is written for nobody. */
  #rest(): void {
    this.#unfollow?.();
    this.#unfollow = undefined;
    this.#heartbeat?.cancel();
    this.#heartbeat = undefined;
    clearImmediate(this.#flush);
    this.#flush = undefined;
    this.#unsent = [];
  }
}

function frameOf({ id, at, name, event }: JournalEntry): string {
  return `id: ${id}\nevent: ${name}\ndata: ${safeJson({ id, at, name, event })}\n\n`;
}
