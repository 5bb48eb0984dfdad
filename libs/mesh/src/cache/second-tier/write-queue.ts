import type { StoredText } from './second-tier.store.js';

export interface QueuedWrite extends StoredText {
  /**
   * Invalidations are kept when values have to go: a lost value costs a load, a lost invalidation a wrong answer. The
   * clearing of a namespace, of which there is one each, is never dropped: it stands in for the others.
   */
  readonly kind: 'value' | 'invalidation' | 'clear';
  /**
   * What in the store makes this write void. Invalidations are compared before they are written, so that none takes the
   * place of a later one; values afterwards, so that no deletion slips in between, and are removed again.
   */
  readonly unless?: { readonly key: string; holds(text: string): boolean };
  /** Monotonic instant after which writing it makes no sense any more. */
  readonly expiresAt: number;
  /** Called when the store has it. */
  onWritten?(): void;
  /** Called when there was no room for it. */
  onDrop?(): void;
}

export interface QueueLimits {
  readonly maxQueuedEntries: number;
  readonly maxQueuedBytes: number;
}

/** What waits to be written to the second tier: one write a key, the newest, and no more than the bounds allow. */
export class WriteQueue {
  readonly #writes = new Map<string, QueuedWrite>();
  #bytes = 0;
  #trimming = false;

  constructor(
    private readonly limits: () => QueueLimits,
    private readonly onDrop: (write: QueuedWrite) => void,
  ) {}

  get size(): number {
    return this.#writes.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** So much waits that whoever writes more should wait as well. */
  get isCrowded(): boolean {
    const { maxQueuedEntries, maxQueuedBytes } = this.limits();
    return 2 * this.#writes.size > maxQueuedEntries || 2 * this.#bytes > maxQueuedBytes;
  }

  get(key: string): QueuedWrite | undefined {
    return this.#writes.get(key);
  }

  push(write: QueuedWrite): void {
    const before = this.#writes.get(write.key);
    // A clearing keeps its place: each deletion that is dropped renews it, and it would never leave from the end.
    if (before && write.kind === 'clear') this.#bytes -= sizeOf(before);
    else this.#remove(write.key);
    // Alone it would push out all others.
    if (write.kind === 'value' && sizeOf(write) > this.limits().maxQueuedBytes) return this.onDrop(write);
    this.#writes.set(write.key, write);
    this.#bytes += sizeOf(write);
    this.#trim();
  }

  /**
   * The oldest writes, still queued, at least one and no more than the count and the bytes allow; those that came too
   * late are forgotten.
   */
  batch(count: number, maxBytes: number, now: number): QueuedWrite[] {
    const writes: QueuedWrite[] = [];
    let bytes = 0;
    for (const write of this.#writes.values()) {
      if (now >= write.expiresAt) {
        this.#remove(write.key);
        continue;
      }
      bytes += sizeOf(write);
      if (writes.length > 0 && bytes > maxBytes) break;
      if (writes.push(write) >= count) break;
    }
    return writes;
  }

  /** Takes out what the store does not take. Values are lost; invalidations wait behind the others for another try. */
  refuse(writes: readonly QueuedWrite[]): void {
    for (const write of writes) {
      if (this.#writes.get(write.key) !== write) continue;
      this.#remove(write.key);
      if (write.kind === 'value') this.onDrop(write);
      else this.push(write);
    }
  }

  /** Takes out what was written, unless something newer took its place meanwhile. */
  confirm(writes: readonly QueuedWrite[]): void {
    for (const write of writes) {
      if (this.#writes.get(write.key) === write) this.#remove(write.key);
      write.onWritten?.();
    }
  }

  /** What is dropped may leave something to write in its place, which the same loop comes to. */
  #trim(): void {
    if (this.#trimming) return;
    this.#trimming = true;
    try {
      const { maxQueuedEntries, maxQueuedBytes } = this.limits();
      const over = (): boolean => this.#writes.size > maxQueuedEntries || this.#bytes > maxQueuedBytes;
      for (const kind of ['value', 'invalidation'] as const) {
        if (!over()) return;
        for (const write of this.#writes.values()) {
          if (!over()) return;
          if (write.kind !== kind) continue;
          this.#remove(write.key);
          this.onDrop(write);
        }
      }
    } finally {
      this.#trimming = false;
    }
  }

  #remove(key: string): void {
    const write = this.#writes.get(key);
    if (!write) return;
    this.#writes.delete(key);
    this.#bytes -= sizeOf(write);
  }
}

/** What the writes take together, in bytes. */
export function bytesOf(writes: readonly QueuedWrite[]): number {
  return writes.reduce((bytes, write) => bytes + sizeOf(write), 0);
}

function sizeOf({ key, text }: QueuedWrite): number {
  return 2 * (key.length + (text?.length ?? 0)) + 100;
}
