import { AsyncLocalStorage } from 'node:async_hooks';
import type { z } from 'zod';
import type { CacheClient } from '../../core/cache.port.js';
import type { Clock, Timer } from '../../core/clock.js';
import type { MeshEvents } from '../../core/mesh.events.js';
import type { CircuitBreaker } from '../circuit-breaker.js';
import {
  OVERRIDES_KEPT_MS,
  SHARE_LIMIT_MS,
  SHARE_MAX_PAUSE_MS,
  SHARE_SOON_MS,
  SHARING_NAMESPACE,
} from '../resilience.constants.js';
import { type BreakerOverride, overridesSchema } from './breaker-override.js';
import { OpeningBoard, openingsSchema } from './opening-board.js';
import type { OverrideBoard } from './override-board.js';

const OVERRIDES = 'overrides';
const OPENINGS = 'openings';

export interface SharingDeps {
  readonly cache: CacheClient;
  /** What operators said here, and what is known of what they said elsewhere. */
  readonly overrides: OverrideBoard;
  readonly clock: Clock;
  readonly events: MeshEvents;
  /** The breaker, if its policy is known here and has one. */
  readonly breakerOf: (policy: string, key: string | undefined) => CircuitBreaker | undefined;
  /** Milliseconds between two looks at the cache; `false` while nothing is shared. */
  readonly pollMs: () => number | false;
  /** Whether the breaker is the store's own: its state can't come from the store that it guards. */
  readonly isPrivate: (policy: string) => boolean;
}

/**
 * What the instances of a service tell each other about their breakers, by way of the cache: what operators said, all the
 * time; and at the start, which breakers had been open a moment ago. Each instance decides for itself by what it sees;
 * no call ever waits for this, and a store that hangs, fails or forgets changes nothing about any breaker.
 */
export class BreakerSharing {
  readonly #openings: OpeningBoard;
  readonly #cache: CacheClient;
  // What begins in an operator's request or in a call must not keep that request's context.
  readonly #outside = AsyncLocalStorage.snapshot();
  /** Overrides of breakers that this instance does not have, yet. */
  #unapplied: BreakerOverride[] = [];
  #hydrated = false;
  #resuming = false;
  #timer: Timer | undefined;
  #timerAt = Infinity;
  #exchange: AbortController | undefined;
  #again = false;
  #failures = 0;
  #stopped = false;

  constructor(private readonly deps: SharingDeps) {
    this.#openings = new OpeningBoard(deps.clock);
    // Memory keeps nothing: what counts is what other instances wrote.
    this.#cache = deps.cache.namespace(SHARING_NAMESPACE, { ttlMs: 1, graceMs: OVERRIDES_KEPT_MS });
  }

  start(): void {
    this.#schedule(0);
  }

  /** Nothing of what is still under way has any effect after this. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#exchange?.abort();
  }

  /** There is something new to tell: does so soon, not at the next look. */
  tell(): void {
    this.#schedule(SHARE_SOON_MS);
  }

  opened(breaker: CircuitBreaker): void {
    const { isPrivate, pollMs } = this.deps;
    if (this.#resuming || pollMs() === false || isPrivate(breaker.policy)) return;
    this.#openings.note(breaker);
    this.tell();
  }

  /** The options changed: looks in the new rhythm, or not at all any more. */
  reconsider(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = Infinity;
    this.#schedule(0);
  }

  /** Sees to it that the next exchange begins in `delayMs` at the latest. */
  #schedule(delayMs: number): void {
    if (this.#stopped || this.deps.pollMs() === false) return;
    if (this.#exchange) {
      this.#again = true;
      return;
    }
    const { clock } = this.deps;
    // While the store is away, news wait for the next try.
    const at = clock.monotonic() + (this.#failures > 0 ? Math.max(delayMs, this.#pauseMs()) : delayMs);
    if (this.#timer && this.#timerAt <= at) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#outside(() => clock.setTimer(() => void this.#run(), Math.max(0, at - clock.monotonic())));
  }

  async #run(): Promise<void> {
    this.#timer = undefined;
    this.#timerAt = Infinity;
    this.#again = false;
    const exchange = new AbortController();
    this.#exchange = exchange;
    let failure: unknown;
    try {
      await this.#within(SHARE_LIMIT_MS, exchange);
    } catch (error) {
      failure = error;
    } finally {
      exchange.abort();
      this.#exchange = undefined;
    }
    // What the stop cut short has neither failed nor succeeded.
    if (this.#stopped) return;
    this.#report(failure);
    this.#schedule(this.#again ? SHARE_SOON_MS : this.#pauseMs());
  }

  /** A store that never answers ends the exchange as well; what it answers later is not listened to. */
  #within(limitMs: number, exchange: AbortController): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.deps.clock.setTimer(
        () => reject(new Error(`the cache has not answered within ${limitMs} ms`)),
        limitMs,
      );
      exchange.signal.addEventListener('abort', () => (timer.cancel(), resolve()), { once: true });
      this.#share(exchange.signal).then(resolve, reject);
    });
  }

  async #share(signal: AbortSignal): Promise<void> {
    await this.#shareOverrides(signal);
    if (!signal.aborted && !this.#hydrated) await this.#hydrate(signal);
    if (!signal.aborted && this.#openings.hasNews) await this.#shareOpenings(signal);
  }

  async #shareOverrides(signal: AbortSignal): Promise<void> {
    const fresh = await this.#read(OVERRIDES, overridesSchema);
    if (signal.aborted) return;
    // Nobody has written lately. What was written before still holds.
    const known = fresh ?? (await this.#readKept());
    if (signal.aborted) return;
    const { overrides } = this.deps;
    this.#apply(overrides.merge(known));
    if (!overrides.knowsMoreThan(known) && (fresh || !overrides.holds)) return;
    // Only as long as the next looks: so that who wrote it looks past its own memory, too. The rest of its life is grace.
    const ttlMs = 2 * (this.deps.pollMs() || SHARE_SOON_MS);
    await this.#cache.set(OVERRIDES, overrides.all(), { ttlMs, graceMs: OVERRIDES_KEPT_MS });
  }

  async #readKept(): Promise<BreakerOverride[]> {
    const kept = await this.#cache.entry<unknown>(OVERRIDES);
    return kept.found ? parsed(overridesSchema, kept.value) : [];
  }

  #apply(news: readonly BreakerOverride[]): void {
    const { clock, breakerOf, isPrivate } = this.deps;
    const waiting = [...this.#unapplied, ...news].filter(({ until = Infinity }) => until > clock.now());
    this.#unapplied = waiting.filter(({ policy, key, action, reason, author, until }) => {
      const breaker = isPrivate(policy) ? undefined : breakerOf(policy, key);
      if (!breaker) return true;
      if (action === 'release') breaker.release();
      else
        breaker[action]({
          reason,
          ...(author !== undefined && { author }),
          ...(until !== undefined && { ttlMs: until - clock.now() }),
        });
      return false;
    });
  }

  async #hydrate(signal: AbortSignal): Promise<void> {
    const openings = (await this.#read(OPENINGS, openingsSchema)) ?? [];
    if (signal.aborted) return;
    this.#hydrated = true;
    const { clock, breakerOf, isPrivate } = this.deps;
    const toMonotonic = clock.monotonic() - clock.now();
    // What others told of is not told again.
    this.#resuming = true;
    for (const { policy, key, openUntil, openings: count } of openings)
      if (openUntil > clock.now() && !isPrivate(policy))
        breakerOf(policy, key)?.resumeOpen(openUntil + toMonotonic, count);
    this.#resuming = false;
  }

  async #shareOpenings(signal: AbortSignal): Promise<void> {
    const others = (await this.#read(OPENINGS, openingsSchema)) ?? [];
    if (signal.aborted) return;
    const openings = this.#openings.addTo(others);
    const ttlMs = Math.ceil((openings[0]?.openUntil ?? 0) - this.deps.clock.now());
    if (ttlMs > 0) await this.#cache.set(OPENINGS, openings, { ttlMs, graceMs: 0 });
  }

  async #read<T>(key: string, schema: z.ZodType<T>): Promise<T | undefined> {
    const value = await this.#cache.get<unknown>(key);
    return value === undefined ? undefined : parsed(schema, value);
  }

  #report(error: unknown): void {
    const wasAway = this.#failures > 0;
    this.#failures = error === undefined ? 0 : this.#failures + 1;
    if (wasAway === this.#failures > 0) return;
    this.deps.events.emit('breaker.sharing', {
      state: error === undefined ? 'up' : 'away',
      ...(error !== undefined && { error }),
    });
  }

  /** Until the next look, or, after failures, until the next try: twice as long each time. */
  #pauseMs(): number {
    const pollMs = this.deps.pollMs() || SHARE_MAX_PAUSE_MS;
    return Math.min(Math.max(SHARE_MAX_PAUSE_MS, pollMs), pollMs * 2 ** this.#failures);
  }
}

function parsed<T>(schema: z.ZodType<T>, value: unknown): T {
  const { data, error } = schema.safeParse(value);
  if (error)
    throw new Error(`the cache holds what no instance of this version wrote: ${error.message}`, { cause: error });
  return data;
}
