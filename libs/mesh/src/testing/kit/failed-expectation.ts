import { AssertionError } from 'node:assert';
import { inspect } from 'node:util';

/** Ends the test with what was expected and what was found; every runner knows this kind of error. */
export function failExpectation(
  message: string,
  values?: { readonly actual: unknown; readonly expected: unknown },
): never {
  throw new AssertionError({ message, ...values, stackStartFn: failExpectation });
}

/** Each value on a line of its own, or that there is none. */
export function listed(values: readonly unknown[]): string {
  return values.length === 0 ? ' nothing' : values.map((value) => `\n  ${shown(value)}`).join('');
}

export function shown(value: unknown): string {
  return typeof value === 'string' ? value : inspect(value, { depth: 6, breakLength: 160, compact: 6 });
}
