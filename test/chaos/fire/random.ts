/** A seeded source of chance (mulberry32): the same seed gives the same faults in the same order. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 to below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  between(from: number, to: number): number {
    return Math.round(from + this.next() * (to - from));
  }

  /** Another source, whose numbers do not depend on when somebody else asks. */
  fork(): Random {
    return new Random(Math.floor(this.next() * 2 ** 32));
  }

  pick<T>(things: readonly T[]): T {
    return things[Math.floor(this.next() * things.length)]!;
  }

  shuffled<T>(things: readonly T[]): T[] {
    const left = [...things];
    return things.map(() => left.splice(Math.floor(this.next() * left.length), 1)[0]!);
  }
}
