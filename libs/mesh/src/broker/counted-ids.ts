const BLOCK = 1_000;
const LAST_DIGITS: readonly string[] = Array.from({ length: BLOCK }, (_, count) => `.${count}`);

/**
 * Unique ids that count up behind a random prefix: a random id for each request would cost more than the request. Even
 * writing a number costs a sixth of one, so that the last digits are written once for all.
 */
export class CountedIds {
  readonly #prefix: string;
  #block = 0;
  #blockPrefix: string;
  #count = 0;

  constructor(prefix: string) {
    this.#prefix = prefix;
    this.#blockPrefix = `${prefix}.0`;
  }

  next(): string {
    if (this.#count === BLOCK) {
      this.#count = 0;
      this.#blockPrefix = `${this.#prefix}.${++this.#block}`;
    }
    return this.#blockPrefix + LAST_DIGITS[this.#count++]!;
  }
}
