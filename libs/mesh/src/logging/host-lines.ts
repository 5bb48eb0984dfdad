import type { CallContexts } from '../core/call-context.js';
import type { ServiceInfo } from '../core/service-info.js';
import { showable } from '../core/showable.js';
import { callLogFields } from './call-log-fields.js';
import type { LogFields } from './log-sink.js';
import type { Redaction } from './redaction.js';

const LIMITS = { maxDepth: 8, maxItems: 1_000 } as const;
const MAX_CAUSES = 8;

/**
 * Lines for a logger that the host brought: with the fields that our own adds by itself, and without secrets in any text,
 * because nobody looks at the written line again. It may write JSON or `util.inspect`, which shows more than JSON does, so
 * it gets plain data; only errors keep their class, as copies.
 */
export class HostLines {
  readonly #base: LogFields;
  readonly #contexts: CallContexts;
  readonly #redaction: Redaction;

  constructor({ name, instance, version }: ServiceInfo, contexts: CallContexts, redaction: Redaction) {
    this.#base = { service: name, instance, ...(version !== undefined && { version }) };
    this.#contexts = contexts;
    this.#redaction = redaction;
  }

  fields(fields: LogFields): LogFields {
    return this.#data({ ...this.#base, ...callLogFields(this.#contexts), ...fields }, 0);
  }

  text(message: string): string {
    return this.#redaction.text(message);
  }

  #data(fields: LogFields, depth: number): Record<string, unknown> {
    const plain = showable(fields, { ...LIMITS, text: (text) => this.text(text) }) as Record<string, unknown>;
    const safe = { ...this.#redaction.fields(plain) };
    for (const [name, value] of Object.entries(fields))
      if (value instanceof Error) safe[name] = this.#errorOrNote(value, depth);
    return safe;
  }

  #errorOrNote(error: Error, depth: number): unknown {
    if (depth > MAX_CAUSES) return '[…]';
    try {
      return this.#error(error, depth);
    } catch {
      // A getter of the user's threw; a line must never fail the code that writes it.
      return '[unreadable]';
    }
  }

  #error(error: Error, depth: number): Error {
    const { message, stack = '', cause, errors } = error as Error & { readonly errors?: unknown };
    const hidden = this.#data({ message, stack, ...(cause !== undefined && { cause }) }, depth + 1);
    if (Array.isArray(errors)) hidden['errors'] = Object.values(this.#data({ ...errors }, depth + 1));
    const copy = Object.create(Object.getPrototypeOf(error) as object) as Error;
    define(copy, this.#data({ ...error }, depth + 1), true);
    define(copy, hidden, false);
    return copy;
  }
}

function define(target: object, fields: Readonly<Record<string, unknown>>, enumerable: boolean): void {
  for (const [name, value] of Object.entries(fields))
    Object.defineProperty(target, name, { value, enumerable, writable: true, configurable: true });
}
