/** A part that is handed out in a form that outlives it. */
export interface ReplaceablePart<T> {
  /** What everybody holds. */
  readonly face: T;
  /** What is in force. */
  readonly part: T;
  /** Brings what was asked of the present part - handlers, namespaces - to `next`, which nobody uses yet. Throws to refuse. */
  prepare(next: T): Promise<PreparedReplacement> | PreparedReplacement;
}

/** A replacement that waits for its word: either `commit` or `discard` is called. */
export interface PreparedReplacement {
  /** Switches everybody over, synchronously. */
  commit(): void;
  /** Takes back from the new part what was brought to it. */
  discard(): Promise<void> | void;
}
