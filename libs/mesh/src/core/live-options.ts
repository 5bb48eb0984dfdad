/**
 * Validated options that may change while the application runs. Read `current` at the start of each piece of work and
 * keep what was read until it ends: calls in flight finish with the options that they began with.
 */
export interface LiveOptions<T> {
  readonly current: T;
  /** Listens to accepted changes. Returns the function that stops listening. */
  onChange(listener: (next: T, previous: T) => void): () => void;
}

/** Options that never change: for tests and for parts that are built by hand. */
export function fixedOptions<T>(current: T): LiveOptions<T> {
  return { current, onChange: () => () => undefined };
}
