import type { Clock, Timer } from '../core/clock.js';

const TICK_MS = 10;
const LOOK_AT_LEAST_EVERY_MS = 1_000;

/** Something that a {@link TimeoutList} ends when its time is over. */
export abstract class Expiring {
  slot: Slot | undefined = undefined;
  previous: Expiring | undefined = undefined;
  next: Expiring | undefined = undefined;
  abstract expire(): void;
}

interface Slot {
  readonly tick: number;
  first: Expiring | undefined;
}

/**
 * Many timeouts on one timer. Adding and removing are a few pointer writes, against half a microsecond for a timer of
 * one's own; in return a timeout fires up to 10 ms late, never early.
 */
export class TimeoutList<T extends Expiring> {
  readonly #clock: Clock;
  readonly #slots = new Map<number, Slot>();
  // What comes in a row mostly ends in one tick.
  #latest: Slot | undefined;
  #timer: Timer | undefined;
  #armedTick = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends `entry` at `at`, an instant of the clock's `monotonic()`. */
  add(entry: T, at: number): void {
    const tick = Math.ceil(at / TICK_MS);
    const slot = this.#latest?.tick === tick ? this.#latest : this.#slotOf(tick);
    entry.slot = slot;
    entry.next = slot.first;
    if (slot.first) slot.first.previous = entry;
    slot.first = entry;
    if (tick < this.#armedTick) this.#arm(tick);
  }

  remove(entry: T): void {
    const { slot, previous, next } = entry;
    if (!slot) return;
    if (previous) previous.next = next;
    else slot.first = next;
    if (next) next.previous = previous;
    entry.slot = entry.previous = entry.next = undefined;
  }

  *[Symbol.iterator](): Generator<T> {
    for (const slot of this.#slots.values()) for (let entry = slot.first; entry; entry = entry.next) yield entry as T;
  }

  /** Ends every entry now and leaves no timer behind. */
  expireAll(): void {
    this.#disarm();
    this.#expireUntil(Number.POSITIVE_INFINITY);
  }

  #slotOf(tick: number): Slot {
    let slot = this.#slots.get(tick);
    if (!slot) this.#slots.set(tick, (slot = { tick, first: undefined }));
    this.#latest = slot;
    return slot;
  }

  #forget(slot: Slot): void {
    this.#slots.delete(slot.tick);
    if (slot === this.#latest) this.#latest = undefined;
  }

  #arm(tick: number): void {
    this.#timer?.cancel();
    this.#armedTick = tick;
    const delayMs = Math.max(0, tick * TICK_MS - this.#clock.monotonic());
    // Slots that emptied themselves meanwhile are swept when the timer looks, so it looks now and then.
    this.#timer = this.#clock.setTimer(() => this.#look(), Math.min(delayMs, LOOK_AT_LEAST_EVERY_MS));
  }

  #look(): void {
    this.#disarm();
    const nearest = this.#expireUntil(Math.floor(this.#clock.monotonic() / TICK_MS));
    if (nearest < this.#armedTick) this.#arm(nearest);
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#armedTick = Number.POSITIVE_INFINITY;
  }

  /** Ends what is due, forgets empty slots, and returns the nearest tick that still has entries. */
  #expireUntil(dueTick: number): number {
    let nearest = Number.POSITIVE_INFINITY;
    for (const [tick, slot] of this.#slots) {
      if (tick <= dueTick || !slot.first) this.#forget(slot);
      else nearest = Math.min(nearest, tick);
      if (tick > dueTick) continue;
      for (let entry = slot.first; entry; entry = slot.first) {
        this.remove(entry as T);
        entry.expire();
      }
    }
    return nearest;
  }
}
