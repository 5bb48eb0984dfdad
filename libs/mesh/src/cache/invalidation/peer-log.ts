import { MAX_PEERS } from '../cache.constants.js';

/** What has been heard from each other instance, so that a message which never came is noticed. */
export class PeerLog {
  readonly #peers = new Map<string, { readonly epoch: string; readonly sequence: number }>();

  constructor(private readonly limit = MAX_PEERS) {}

  /** Takes note of how far another instance's messages go; answers whether any is missing before `from`. */
  misses(instance: string, epoch: string, from: number, sequence: number): boolean {
    const known = this.#peers.get(instance);
    const last = known?.epoch === epoch ? known.sequence : 0;
    this.#peers.delete(instance);
    this.#peers.set(instance, { epoch, sequence: Math.max(last, sequence) });
    for (const oldest of this.#peers.keys()) {
      if (this.#peers.size <= this.limit) break;
      this.#peers.delete(oldest);
    }
    // Whoever starts anew may have died with messages unsent.
    return from > last + 1 || (known !== undefined && known.epoch !== epoch);
  }
}
