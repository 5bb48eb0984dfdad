import { AsyncLocalStorage } from 'node:async_hooks';
import type { CallContext, CallContexts } from '../core/call-context.js';
import type { Clock, Timer } from '../core/clock.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MeshEventMap, MeshEventName, MeshEvents } from '../core/mesh.events.js';
import { type EventLine, eventLine } from './event-lines.js';
import type { LogSink } from './log-sink.js';
import { MAX_WATCHED_EVENTS } from './logging.constants.js';
import type { LoggingOptions } from './logging.options.js';

export interface EventLogDependencies {
  readonly sink: LogSink;
  readonly clock: Clock;
  readonly contexts: CallContexts;
  readonly options: LiveOptions<LoggingOptions>;
}

interface Watched {
  latest: EventLine;
  /** Of what met the latest: the line is its, whoever's window ends. */
  context: CallContext | undefined;
  suppressed: number;
  /** On the monotonic clock: when the latest came. */
  latestAt: number;
  timer: Timer;
}

/**
 * Writes one line per event of the mesh. An event that repeats within `repeatWindowMs` is counted; the count is written
 * with its last occurrence when the window ends.
 */
export class EventLog {
  readonly #sink: LogSink;
  readonly #clock: Clock;
  readonly #contexts: CallContexts;
  readonly #options: LiveOptions<LoggingOptions>;
  /** A window outlives the request that began it, and must not keep its context, nor its logger in a host's storage. */
  readonly #outside = AsyncLocalStorage.snapshot();
  readonly #watched = new Map<string, Watched>();
  readonly #unsubscribe: () => void;

  constructor(events: MeshEvents, { sink, clock, contexts, options }: EventLogDependencies) {
    this.#sink = sink;
    this.#clock = clock;
    this.#contexts = contexts;
    this.#options = options;
    this.#unsubscribe = events.onAny((name, event) => this.#onEvent(name, event));
  }

  /** Stops listening and writes what was counted and not written yet. */
  stop(): void {
    this.#unsubscribe();
    for (const [key, watched] of this.#watched) {
      watched.timer.cancel();
      this.#close(key, watched);
    }
  }

  #onEvent<N extends MeshEventName>(name: N, event: MeshEventMap[N]): void {
    const line = eventLine(name, event);
    const { repeatWindowMs } = this.#options.current;
    if (line.key === undefined || repeatWindowMs === 0) return this.#write(line);

    const key = `${name} ${line.key}`;
    const watched = this.#watched.get(key);
    if (watched) {
      watched.latest = line;
      watched.context = this.#contexts.current();
      watched.suppressed++;
      watched.latestAt = this.#clock.monotonic();
      return;
    }
    this.#write(line);
    if (this.#watched.size < MAX_WATCHED_EVENTS) this.#outside(() => this.#watch(key, line, repeatWindowMs));
  }

  #watch(key: string, latest: EventLine, windowMs: number): void {
    const timer = this.#clock.setTimer(() => {
      const suppressed = this.#close(key, watched);
      // While it goes on repeating it stays watched: one line a window, however often it happens.
      if (suppressed > 0) this.#watch(key, watched.latest, windowMs);
    }, windowMs);
    const latestAt = this.#clock.monotonic();
    const watched: Watched = { latest, context: undefined, suppressed: 0, latestAt, timer };
    this.#watched.set(key, watched);
  }

  #close(key: string, { latest, context, suppressed, latestAt }: Watched): number {
    this.#watched.delete(key);
    if (suppressed === 0) return 0;
    // What it tells may be over by now, with a line of its own before this one.
    const agoMs = Math.round(this.#clock.monotonic() - latestAt);
    const message = `${latest.message} (${suppressed} more since the last line, the last of them ${agoMs} ms ago)`;
    const line = { ...latest, message, fields: { ...latest.fields, suppressed, agoMs } };
    const write = (): void => this.#write(line);
    if (context) this.#contexts.run(context, write);
    else write();
    return suppressed;
  }

  #write({ level, fields, message }: EventLine): void {
    this.#sink.write(level, fields, message);
  }
}
