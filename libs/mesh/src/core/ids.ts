import { randomBytes, randomUUID } from 'node:crypto';

/** The only source of randomness and of identifiers in the library, so that tests can fix both. */
export abstract class Ids {
  /** A new unique identifier: for correlation, messages and instances. */
  abstract next(): string;

  /** A new W3C span id: 16 lower-case hex digits. */
  abstract spanId(): string;

  /** A new W3C trace id: 32 lower-case hex digits. */
  abstract traceId(): string;

  /** Uniform in [0, 1): for jitter and sampling. */
  abstract random(): number;
}

const FIRST_BYTES: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Identifiers from the operating system's generator, jitter from `Math.random`. Unique, but not secret. */
export class SystemIds extends Ids {
  #rest = '';
  #issued = FIRST_BYTES.length;

  /** UUIDs in batches that differ in the first byte: random in every byte they are a visible part of what a request costs. */
  override next(): string {
    if (this.#issued === FIRST_BYTES.length) {
      this.#rest = randomUUID().slice(2);
      this.#issued = 0;
    }
    return FIRST_BYTES[this.#issued++] + this.#rest;
  }

  override spanId(): string {
    return randomBytes(8).toString('hex');
  }

  override traceId(): string {
    return randomBytes(16).toString('hex');
  }

  override random(): number {
    return Math.random();
  }
}
