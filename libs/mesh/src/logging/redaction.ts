import { REDACTED } from './logging.constants.js';

/** Names whose values are never written, without case, `-` and `_`. */
const SECRET_NAMES: readonly string[] = (
  'password passwd pwd passphrase secret clientsecret secretkey token accesstoken refreshtoken idtoken ' +
  'apikey xapikey privatekey credentials authorization proxyauthorization cookie setcookie'
).split(' ');

const MAX_DEPTH = 8;
const URL_CREDENTIALS = /([a-z][a-z\d+.-]*:\/\/)[^\s/@"']+@/gi;

/**
 * Replaces secrets in what is about to be written: values whose name says so, at any depth, and the credentials of URLs.
 * A value without secrets is returned as it is, not copied.
 */
export class Redaction {
  readonly #names: ReadonlySet<string>;
  /** What was decided about a name: names repeat on every line. Bounded, because they may come from users' data. */
  readonly #verdicts = new Map<string, boolean>();

  constructor(further: readonly string[] = []) {
    this.#names = new Set([...SECRET_NAMES, ...further.map(plainName)]);
  }

  /** Never throws, whatever getters do. */
  fields<T extends object>(fields: T): T {
    try {
      return this.#walk(fields, 0, new Set()) as T;
    } catch {
      return { unreadable: true } as unknown as T;
    }
  }

  /** The line without credentials in URLs (`redis://user:secret@host`), wherever they stand. */
  text(line: string): string {
    return line.includes('://') ? line.replace(URL_CREDENTIALS, `$1${REDACTED}@`) : line;
  }

  #walk(value: object, depth: number, above: Set<object>): object {
    if (Array.isArray(value)) return this.#walkArray(value, depth, above);
    if (ArrayBuffer.isView(value) || value instanceof Date) return value;
    if (hasToJson(value)) return this.#walkJson(value, depth, above);
    above.add(value);
    let copy: Record<string, unknown> | undefined;
    for (const [key, inner] of Object.entries(value)) {
      const safe = this.#isSecret(key, inner) ? REDACTED : this.#inner(inner, depth, above);
      if (safe === inner) continue;
      copy ??= copyOf(value);
      copy[key] = safe;
    }
    above.delete(value);
    return copy ?? value;
  }

  /** What such a value (a database document, say) becomes is what is written, so that is what is looked at. */
  #walkJson(value: HasToJson, depth: number, above: Set<object>): object {
    const json = value.toJSON('');
    if (typeof json !== 'object' || json === null || json === value) return value;
    above.add(value);
    const safe = this.#inner(json, depth, above) as object;
    above.delete(value);
    return safe === json ? value : safe;
  }

  #walkArray(value: readonly unknown[], depth: number, above: Set<object>): object {
    above.add(value);
    let copy: unknown[] | undefined;
    for (const [i, inner] of value.entries()) {
      const safe = this.#inner(inner, depth, above);
      if (safe === inner) continue;
      copy ??= [...value];
      copy[i] = safe;
    }
    above.delete(value);
    return copy ?? value;
  }

  #inner(inner: unknown, depth: number, above: Set<object>): unknown {
    if (typeof inner !== 'object' || inner === null) return inner;
    // What is not looked at is not written either: a secret could be in it.
    if (above.has(inner)) return '[Circular]';
    if (depth >= MAX_DEPTH) return '[Object]';
    try {
      return this.#walk(inner, depth + 1, above);
    } catch {
      // A getter or toJSON of the user's threw; a line must never fail the code that writes it.
      return '[Unreadable]';
    }
  }

  #isSecret(name: string, value: unknown): boolean {
    if (value === undefined || value === null || typeof value === 'boolean') return false;
    let verdict = this.#verdicts.get(name);
    if (verdict === undefined) {
      verdict = this.#names.has(plainName(name));
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

function plainName(name: string): string {
  return name.replaceAll(/[-_]/g, '').toLowerCase();
}

/** What makes an error one - message, stack, cause - is not enumerable and must survive the copy. */
function copyOf(value: object): Record<string, unknown> {
  if (!(value instanceof Error)) return { ...value };
  const descriptors = { ...Object.getOwnPropertyDescriptors(value), stack: { value: value.stack } };
  return Object.create(Object.getPrototypeOf(value) as object, descriptors) as Record<string, unknown>;
}
