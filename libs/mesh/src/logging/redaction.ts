import { couldBeSecret, isSecretName, MASK, maskCredentials, plainName } from '../core/secrets.js';

const MAX_DEPTH = 8;

/**
 * Replaces secrets in what is about to be written: values whose name says so, at any depth, and the credentials of URLs.
 * A value without secrets is returned as it is, not copied.
 */
export class Redaction {
  readonly #further: ReadonlySet<string>;
  /** What was decided about a name: names repeat on every line. Bounded, because they may come from users' data. */
  readonly #verdicts = new Map<string, boolean>();
  /** The objects that the walk is in, outermost first: kept, so that a line without nested objects allocates nothing. */
  readonly #above: object[] = [];

  constructor(further: readonly string[] = []) {
    this.#further = new Set(further.map(plainName));
  }

  /** Never throws, whatever getters do. */
  fields<T extends object>(fields: T): T {
    // A toJSON that itself logs comes back in here: what it adds is taken away again.
    const outer = this.#above.length;
    try {
      return this.#walk(fields) as T;
    } catch {
      return { unreadable: true } as unknown as T;
    } finally {
      this.#above.length = outer;
    }
  }

  /** The fields that an error is written as. Never throws either. */
  error<E extends Error>(error: E, fieldsOf: (error: E) => object): object {
    try {
      return this.fields(fieldsOf(error));
    } catch {
      return { unreadable: true };
    }
  }

  /** The line without credentials in URLs and headers, wherever they stand. */
  text(line: string): string {
    return maskCredentials(line);
  }

  #walk(value: object): object {
    if (Array.isArray(value)) return this.#walkArray(value);
    if (ArrayBuffer.isView(value) || value instanceof Date) return value;
    if (hasToJson(value)) return this.#walkJson(value);
    this.#above.push(value);
    let copy: Record<string, unknown> | undefined;
    for (const key of Object.keys(value)) {
      const inner = (value as Record<string, unknown>)[key];
      const safe = this.#isSecret(key, inner) ? MASK : this.#inner(inner);
      if (safe === inner) continue;
      copy ??= copyOf(value);
      copy[key] = safe;
    }
    this.#above.pop();
    return copy ?? value;
  }

  /** What such a value (a database document, say) becomes is what is written, so that is what is looked at. */
  #walkJson(value: HasToJson): object {
    const json = value.toJSON('');
    if (typeof json !== 'object' || json === null || json === value) return value;
    this.#above.push(value);
    const safe = this.#inner(json) as object;
    this.#above.pop();
    return safe === json ? value : safe;
  }

  #walkArray(value: readonly unknown[]): object {
    this.#above.push(value);
    let copy: unknown[] | undefined;
    for (const [i, inner] of value.entries()) {
      const safe = this.#inner(inner);
      if (safe === inner) continue;
      copy ??= [...value];
      copy[i] = safe;
    }
    this.#above.pop();
    return copy ?? value;
  }

  #inner(inner: unknown): unknown {
    if (typeof inner !== 'object' || inner === null) return inner;
    // What is not looked at is not written either: a secret could be in it.
    if (this.#above.includes(inner)) return '[Circular]';
    if (this.#above.length > MAX_DEPTH) return '[Object]';
    const depth = this.#above.length;
    try {
      return this.#walk(inner);
    } catch {
      // A getter or toJSON of the user's threw; a line must never fail the code that writes it.
      this.#above.length = depth;
      return '[Unreadable]';
    }
  }

  #isSecret(name: string, value: unknown): boolean {
    if (!couldBeSecret(name, value)) return false;
    let verdict = this.#verdicts.get(name);
    if (verdict === undefined) {
      verdict = isSecretName(name) || this.#further.has(plainName(name));
      if (this.#verdicts.size < 1_000) this.#verdicts.set(name, verdict);
    }
    return verdict;
  }
}

interface HasToJson {
  toJSON(key: string): unknown;
}

function hasToJson(value: object): value is HasToJson {
  return typeof (value as Partial<HasToJson>).toJSON === 'function';
}

/** What makes an error one - message, stack, cause - is not enumerable and must survive the copy. */
function copyOf(value: object): Record<string, unknown> {
  if (!(value instanceof Error)) return { ...value };
  const descriptors = { ...Object.getOwnPropertyDescriptors(value), stack: { value: value.stack } };
  return Object.create(Object.getPrototypeOf(value) as object, descriptors) as Record<string, unknown>;
}
