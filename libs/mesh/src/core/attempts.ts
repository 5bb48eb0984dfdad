const ATTEMPTS = Symbol.for('nestjs-mesh.attempts');

/** Notes on the error how many attempts were made, so that an outer policy does not multiply them. */
export function markAttempts(error: unknown, attempts: number): void {
  // What can't be marked (a primitive, a frozen object) is passed on unmarked: `Reflect` reports it instead of throwing.
  if (typeof error === 'object' && error !== null)
    Reflect.defineProperty(error, ATTEMPTS, { value: attempts, configurable: true });
}

/** How many attempts a policy made before it gave this error up; 1 when it was not retried. */
export function attemptsOf(error: unknown): number {
  const attempts = (error as { [ATTEMPTS]?: unknown } | null | undefined)?.[ATTEMPTS];
  return typeof attempts === 'number' ? attempts : 1;
}
