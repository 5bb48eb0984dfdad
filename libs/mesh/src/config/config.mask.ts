import { MASK, maskText } from '../core/secrets.js';
import { childrenOf, metaOf, soundsSecret, type ConfigSchema } from './config.schema.js';
import { isTree } from './config.tree.js';

const MAX_LENGTH = 80;

/**
 * The value as it may be shown: options marked `secret`, text under keys that sound like a secret, and credentials in
 * URLs are replaced by `***`.
 */
export function masked(schemas: readonly ConfigSchema[], value: unknown, secret = false): unknown {
  return maskedWithin([], schemas, value, secret);
}

function maskedWithin(
  above: readonly unknown[],
  schemas: readonly ConfigSchema[],
  value: unknown,
  secret: boolean,
): unknown {
  if (value === undefined || value === null) return value;
  if (secret || schemas.some((schema) => metaOf(schema).secret)) return MASK;
  if (typeof value === 'string') return maskText(value);
  // A client that an application made by hand may refer to itself.
  if (above.includes(value)) return '[circular]';
  const within = [...above, value];
  if (Array.isArray(value)) return value.map((item, i) => maskedWithin(within, below(schemas, i), item, false));
  if (!isTree(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const children = below(schemas, key);
      return [key, maskedWithin(within, children, inner, soundsSecret(key, children))];
    }),
  );
}

/** As {@link masked}, and safe to print or to send: functions and class instances are only named. */
export function displayed(schemas: readonly ConfigSchema[], value: unknown, secret: boolean): unknown {
  return named(masked(schemas, value, secret));
}

function named(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(named);
  if (isTree(value)) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, named(inner)]));
  return typeof value === 'function' || (typeof value === 'object' && value !== null) ? literal(value) : value;
}

/** A value in a message: JSON where it can be, the kind of thing where it can't; shortened. */
export function shown(value: unknown): string {
  const text = literal(value);
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH - 1)}…` : text;
}

function literal(value: unknown): string {
  if (typeof value === 'function') return value.name ? `[function ${value.name}]` : '[function]';
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (isTree(value)) {
    const entries = Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}: ${literal(inner)}`);
    return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
  }
  if (typeof value === 'object' && value !== null) return `[${value.constructor?.name || 'object'}]`;
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

function below(schemas: readonly ConfigSchema[], key: string | number): ConfigSchema[] {
  return schemas.flatMap((schema) => childrenOf(schema, key));
}
