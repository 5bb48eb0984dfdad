import { isIP } from 'node:net';
import type { Clock } from '../core/clock.js';
import { LOCK_OUT_MS, MAX_WATCHED_ADDRESSES, MAX_WRONG_TOKENS } from './ops.constants.js';

interface Attempts {
  count: number;
  /** On the monotonic clock: until then they are remembered, and nobody is listened to when they are too many. */
  endsAt: number;
}

/** Counts wrong tokens by the address that they came from, so that tokens can't be guessed by trying. */
export class WrongTokens {
  readonly #clock: Clock;
  /** The one that tried last stands last. */
  readonly #byAddress = new Map<string, Attempts>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long nobody from there is listened to, in milliseconds; 0 when they are. */
  lockedOutMs(remoteAddress: string | undefined): number {
    const attempts = this.#byAddress.get(networkOf(remoteAddress));
    if (!attempts || attempts.count < MAX_WRONG_TOKENS) return 0;
    return Math.max(0, attempts.endsAt - this.#clock.monotonic());
  }

  /** Notes one more; whether it was one too many. */
  note(remoteAddress: string | undefined): boolean {
    const now = this.#clock.monotonic();
    const address = networkOf(remoteAddress);
    const known = this.#byAddress.get(address);
    const count = known && known.endsAt > now ? known.count + 1 : 1;
    this.#byAddress.delete(address);
    if (this.#byAddress.size >= MAX_WATCHED_ADDRESSES) this.#byAddress.delete(this.#byAddress.keys().next().value!);
    this.#byAddress.set(address, { count, endsAt: now + LOCK_OUT_MS });
    return count === MAX_WRONG_TOKENS;
  }
}

/** One customer of a provider has a whole /64 of IPv6, and so any number of addresses in it. */
function networkOf(address = ''): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(plain) === 6 ? plain.split('::')[0]!.split(':').slice(0, 4).join(':') : plain;
}
