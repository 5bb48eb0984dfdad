import { errorReply } from '../transport/wire-error.js';
import { encodePayload } from '../transport/payload.codec.js';
import type { WireReply } from '../transport/transport-driver.port.js';
import { wireOfForeign } from './foreign-error.js';
import { bytesRevived } from './json-bytes.js';

/** What Nest's clients say of a request, as often as they hear of it. */
export interface NestAnswer {
  readonly err?: unknown;
  readonly response?: unknown;
  readonly isDisposed?: boolean;
}

/** The whole answer of Nest's servers to a pattern that they don't serve. */
const NO_HANDLER = 'There is no matching message handler defined in the remote service.';

/** The answer to one request: the last of the values that come, or the error. No value is `undefined`. */
export class NestReply {
  #value: unknown;
  #error: unknown;
  #failed = false;
  #complete = false;

  /** Returns whether that was the end. */
  take({ err, response, isDisposed }: NestAnswer): boolean {
    if (this.#complete) return false;
    if (response !== undefined) this.#value = response;
    if (err !== undefined && err !== null) {
      this.#error = err;
      this.#failed = true;
    }
    return (this.#complete = this.#failed || isDisposed === true);
  }

  get error(): unknown {
    return this.#error;
  }

  /** What crossed a wire is no Error. */
  get failedHere(): boolean {
    return this.#error instanceof Error && !this.isUnserved;
  }

  get isUnserved(): boolean {
    if (this.#error === NO_HANDLER) return true;
    // Of NATS; Nest doesn't export it.
    return this.#error instanceof Error && this.#error.constructor.name === 'EmptyResponseException';
  }

  toWire(): WireReply {
    if (this.#failed) return errorReply(wireOfForeign(this.#error));
    return { ok: true, body: encodePayload(bytesRevived(this.#value)) };
  }
}
