/** A matcher of a test runner, such as `expect.any(String)`. */
interface AsymmetricMatcher {
  asymmetricMatch(actual: unknown): boolean;
}

/**
 * Whether `actual` has everything that `expected` says: objects may have more keys, lists may not have more items, bytes
 * are the same. Matchers of Jest and Vitest inside of `expected` are asked.
 * @throws {TypeError} for an expected Date, Map or the like: what is in it are no keys, and no message brings one.
 */
export function matches(actual: unknown, expected: unknown): boolean {
  if (isMatcher(expected)) return expected.asymmetricMatch(actual);
  if (typeof expected !== 'object' || expected === null) return Object.is(actual, expected);
  if (Array.isArray(expected))
    return (
      Array.isArray(actual) &&
      actual.length === expected.length &&
      expected.every((item, index) => matches(actual[index], item))
    );
  if (expected instanceof Uint8Array) return actual instanceof Uint8Array && Buffer.compare(actual, expected) === 0;
  const kind = Object.prototype.toString.call(expected);
  if (kind !== '[object Object]')
    throw new TypeError(
      `No message brings an ${kind}: expect what JSON makes of it, or give a matcher of your runner.`,
    );
  if (typeof actual !== 'object' || actual === null) return false;
  return Object.entries(expected).every(([key, value]) =>
    matches((actual as Readonly<Record<string, unknown>>)[key], value),
  );
}

function isMatcher(value: unknown): value is AsymmetricMatcher {
  return typeof (value as Partial<AsymmetricMatcher> | null | undefined)?.asymmetricMatch === 'function';
}
