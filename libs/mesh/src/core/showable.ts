import { isSecret, MASK, maskText } from './secrets.js';

export interface ShowLimits {
  readonly maxDepth: number;
  /** Of each array and object. */
  readonly maxItems: number;
  /** Makes a text fit to be shown. @default {@link maskText} */
  readonly text?: (text: string) => string;
}

/**
 * A copy of any value that may be shown and written as JSON, and never throws: what stands under a name that sounds like
 * a secret is masked, and so are credentials in texts; errors are reduced to name, code and message; what has a class of
 * its own - a client, a stream - is only named, because it may hold anything; depth and width are limited.
 */
export function showable(value: unknown, limits: ShowLimits): unknown {
  return copyOf(value, limits, []);
}

function copyOf(value: unknown, limits: ShowLimits, above: readonly object[]): unknown {
  switch (typeof value) {
    case 'string':
      return textOf(value, limits);
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'bigint':
      return String(value);
    case 'function':
    case 'symbol':
      return undefined;
    case 'object':
      return value === null ? null : copyOfObject(value, limits, above);
    default:
      return value;
  }
}

function copyOfObject(value: object, limits: ShowLimits, above: readonly object[]): unknown {
  if (value instanceof Error) return copyOfError(value, limits);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (above.includes(value)) return '[circular]';
  if (above.length >= limits.maxDepth) return '[…]';
  const within = [...above, value];
  if (Array.isArray(value)) return value.slice(0, limits.maxItems).map((item) => copyOf(item, limits, within) ?? null);
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (above.length > 0 && prototype !== null && prototype !== Object.prototype) return `[${nameOf(prototype)}]`;
  const fields = Object.keys(value)
    .filter((key) => key !== '__proto__')
    .slice(0, limits.maxItems);
  return Object.fromEntries(fields.map((key) => [key, copyOfField(value, key, { limits, within })]));
}

function copyOfField(
  value: object,
  key: string,
  { limits, within }: { readonly limits: ShowLimits; readonly within: readonly object[] },
): unknown {
  try {
    const field = (value as Readonly<Record<string, unknown>>)[key];
    return isSecret(key, field) ? MASK : copyOf(field, limits, within);
  } catch {
    return '[unreadable]';
  }
}

function copyOfError(error: Error, limits: ShowLimits): object {
  const { code } = error as { readonly code?: unknown };
  return {
    name: String(error.name),
    ...(typeof code === 'string' && { code }),
    message: textOf(String(error.message), limits),
  };
}

function textOf(text: string, { text: fit = maskText }: ShowLimits): string {
  return fit(text);
}

function nameOf(prototype: object): string {
  const { constructor } = prototype as { readonly constructor?: { readonly name?: string } };
  return constructor?.name || 'object';
}
