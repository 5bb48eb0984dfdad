import { isSecret, MASK, maskText } from '../core/secrets.js';

const MAX_DEPTH = 8;
const MAX_ITEMS = 5_000;

/**
 * JSON that may be shown: what stands under a name that sounds like a secret is masked, and so are the credentials of
 * URLs, wherever they stand; errors are reduced to name, code and message. The last of several nets, and it never throws.
 */
export function safeJson(value: unknown): string {
  return JSON.stringify(safe(value, 0));
}

function safe(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return maskText(value);
    case 'bigint':
      return String(value);
    case 'function':
    case 'symbol':
      return `[${typeof value}]`;
    case 'object':
      return value === null ? null : safeObject(value, depth);
    default:
      return value;
  }
}

function safeObject(value: object, depth: number): unknown {
  if (value instanceof Error) return safeError(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (depth >= MAX_DEPTH) return '[…]';
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => safe(item, depth + 1));
  const prototype = Object.getPrototypeOf(value) as object | null;
  // What has a class of its own - a client, a stream - may hold anything.
  if (prototype !== null && prototype !== Object.prototype) return `[${nameOf(prototype)}]`;
  return Object.fromEntries(
    Object.keys(value)
      .slice(0, MAX_ITEMS)
      .map((key) => {
        const inner = read(value, key);
        return [key, isSecret(key, inner) ? MASK : safe(inner, depth + 1)];
      }),
  );
}

function safeError(error: Error): object {
  const { code } = error as { readonly code?: unknown };
  return {
    name: String(error.name),
    ...(typeof code === 'string' && { code }),
    message: maskText(String(error.message)),
  };
}

function read(value: object, key: string): unknown {
  try {
    return (value as Readonly<Record<string, unknown>>)[key];
  } catch {
    return '[unreadable]';
  }
}

function nameOf(prototype: object): string {
  const { constructor } = prototype as { readonly constructor?: { readonly name?: string } };
  return constructor?.name || 'object';
}
