import type { StoredText } from './second-tier.store.js';

export interface QueuedWrite extends StoredText {
  /** Invalidations are kept when values have to go: a lost value costs a load, a lost invalidation a wrong answer. */
  readonly kind: 'value' | 'invalidation';
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

  get(key: string): QueuedWrite | undefined {
    return this.#writes.get(key);
  }

  push(write: QueuedWrite): void {
    this.#remove(write.key);
    this.#writes.set(write.key, write);
    this.#bytes += sizeOf(write);
    this.#trim();
  }

  /** The oldest writes, still queued; those that came too late are forgotten. */
  batch(count: number, now: number): QueuedWrite[] {
    const writes: QueuedWrite[] = [];
    for (const write of this.#writes.values()) {
      if (now >= write.expiresAt) this.#remove(write.key);
      else if (writes.push(write) >= count) break;
    }
    return writes;
  }

  /** Takes out what was written, unless something newer took its place meanwhile. */
  confirm(writes: readonly QueuedWrite[]): void {
    for (const write of writes) {
      if (this.#writes.get(write.key) === write) this.#remove(write.key);
      write.onWritten?.();
    }
  }

  #trim(): void {
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
  }

  #remove(key: string): void {
    const write = this.#writes.get(key);
    if (!write) return;
    this.#writes.delete(key);
    this.#bytes -= sizeOf(write);
  }
}

function sizeOf({ key, text }: QueuedWrite): number {
  return 2 * (key.length + text.length) + 100;
}
