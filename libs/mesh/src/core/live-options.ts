/**
 * Validated options that may change while the application runs. Read `current` at the start of each piece of work and
 * keep what was read until it ends: calls in flight finish with the options that they began with.
 */
export interface LiveOptions<T> {
  readonly current: T;
  /**
   * Listens to accepted changes; parts that did not change keep their identity. A listener that throws takes the change
   * back. Returns the function that stops listening.
   */
  onChange(listener: (next: T, previous: T) => void): () => void;
}

/** Options that never change: for tests and for parts that are built by hand. */
export function fixedOptions<T>(current: T): LiveOptions<T> {
  return { current, onChange: () => () => undefined };
}

type Listener<T> = (next: T, previous: T) => void;

/** Options that their owner changes: the configuration store behind a section, a test by hand. */
export class SettableOptions<T> implements LiveOptions<T> {
  #current: T;
  readonly #listeners = new Set<{ readonly tell: Listener<T> }>();

  constructor(initial: T) {
    this.#current = initial;
  }

  get current(): T {
    return this.#current;
  }

  /** @throws what a listener throws, after the previous value was put back. */
  set(next: T): void {
    changeTogether([this.change(next)]);
  }

  /** A change to `next` that has not happened yet, for {@link changeTogether}. */
  change(next: T): OptionsChange {
    const previous = this.#current;
    return {
      put: () => void (this.#current = next),
      putBack: () => void (this.#current = previous),
      tellings: () =>
        Object.is(next, previous)
          ? []
          : Array.from(this.#listeners, ({ tell }) => ({
              tell: () => tell(next, previous),
              tellBack: () => tell(previous, next),
            })),
    };
  }

  onChange(listener: Listener<T>): () => void {
    const subscription = { tell: listener };
    this.#listeners.add(subscription);
    return () => void this.#listeners.delete(subscription);
  }
}

/** A prepared change of one {@link SettableOptions}. */
export interface OptionsChange {
  put(): void;
  putBack(): void;
  tellings(): readonly { tell(): void; tellBack(): void }[];
}

/**
 * Makes several changes as one: no listener sees some options new and others old. When a listener throws, all values go
 * back, the listeners that had been told are told so in reverse order, and the error is thrown.
 */
export function changeTogether(changes: readonly OptionsChange[]): void {
  for (const change of changes) change.put();
  const told: (() => void)[] = [];
  try {
    for (const { tell, tellBack } of changes.flatMap((change) => change.tellings())) {
      told.unshift(tellBack);
      tell();
    }
  } catch (error) {
    for (const change of changes) change.putBack();
    const failures = told.flatMap(failureOf);
    if (failures.length === 0) throw error;
    const message = 'A change was taken back, and listeners failed at that as well.';
    throw new AggregateError([error, ...failures], message, { cause: error });
  }
}

/** A part of live options. Its listeners hear only of changes to the part. */
export function selectOptions<T, U>(options: LiveOptions<T>, select: (options: T) => U): LiveOptions<U> {
  return {
    get current() {
      return select(options.current);
    },
    onChange: (listener) =>
      options.onChange((next, previous) => {
        const part = select(next);
        const before = select(previous);
        if (!Object.is(part, before)) listener(part, before);
      }),
  };
}

function failureOf(run: () => void): unknown[] {
  try {
    run();
    return [];
  } catch (error) {
    return [error];
  }
}
