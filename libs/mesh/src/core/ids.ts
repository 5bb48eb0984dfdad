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

/** Identifiers from the operating system's generator, jitter from `Math.random`. */
export class SystemIds extends Ids {
  override next(): string {
    return randomUUID();
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
