const ATTEMPTS = Symbol.for('nestjs-mesh.attempts');
const marked = new WeakMap<object, number>();
let marks = 0;

/** Notes on the error how many attempts were made, so that an outer policy does not multiply them. */
export function markAttempts(error: unknown, attempts: number): void {
  if (typeof error !== 'object' || error === null) return;
  // What can't be marked (a frozen object) is passed on unmarked: `Reflect` reports it instead of throwing.
  Reflect.defineProperty(error, ATTEMPTS, { value: attempts, configurable: true });
  marked.set(error, ++marks);
}

/** How many attempts a policy made before it gave this error up; 1 when it was not retried. */
export function attemptsOf(error: unknown): number {
  const attempts = (error as { [ATTEMPTS]?: unknown } | null | undefined)?.[ATTEMPTS];
  return typeof attempts === 'number' ? attempts : 1;
}

/** How many errors were marked until now, for {@link wasRetriedSince}. */
export function marksUntilNow(): number {
  return marks;
}

/** Whether a policy retried and gave up since then: an error object that is thrown again still has the mark of an earlier call. */
export function wasRetriedSince(mark: number, error: unknown): boolean {
  return attemptsOf(error) > 1 && (marked.get(error as object) ?? Infinity) > mark;
}
