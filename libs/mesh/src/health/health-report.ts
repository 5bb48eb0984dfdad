import type { HealthReport, HealthStatus } from '../core/health.port.js';
import { isSecret, MASK, maskText } from '../core/secrets.js';

const MAX_TEXT = 300;
/** How much of a text is looked at: more than is shown, so that a secret at the cut is still recognised. */
const MAX_SCANNED = 4_000;
const MAX_DEPTH = 4;
const MAX_KEYS = 50;

/** Reads what a check returned. Whatever it is, the answer is a report that can be shown and written as JSON. */
export function toReport(value: unknown): HealthReport {
  if (value === undefined) return { status: 'up' };
  try {
    if (typeof value === 'object' && value !== null && 'status' in value) {
      const { status, reason, details } = value as { status: unknown; reason?: unknown; details?: unknown };
      if (isStatus(status)) {
        return {
          status,
          ...(reason !== undefined && reason !== '' && { reason: shortText(text(reason)) }),
          ...(typeof details === 'object' && details !== null && { details: maskDetails(details) }),
        };
      }
      return down(`The check returned the status ${shortText(text(status))}, which is not up, degraded or down.`);
    }
  } catch (error) {
    return failureReport(error);
  }
  return down(`The check returned ${describe(value)} instead of a health report; return nothing to say "up".`);
}

/** The report of a check that threw: the error's code or name and its message, without credentials. */
export function failureReport(error: unknown): HealthReport {
  return down(shortText(describeError(error)));
}

/** Masks what looks like a credential and limits the length. */
export function shortText(value: string): string {
  const masked = maskText(value.slice(0, MAX_SCANNED));
  return masked.length > MAX_TEXT ? `${masked.slice(0, MAX_TEXT)}…` : masked;
}

function down(reason: string): HealthReport {
  return { status: 'down', reason };
}

function isStatus(value: unknown): value is HealthStatus {
  return value === 'up' || value === 'degraded' || value === 'down';
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
}

function describeError(error: unknown): string {
  try {
    if (!(error instanceof Error)) return text(error);
    const { code } = error as { code?: unknown };
    const label = typeof code === 'string' ? code : error.name;
    const [inner] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
    const message = error.message || (inner instanceof Error ? inner.message : '');
    return message.includes(label) ? message : [label, message].filter(Boolean).join(': ');
  } catch {
    return 'The check threw a value that cannot be read.';
  }
}

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  try {
    return typeof value === 'object' ? (JSON.stringify(value) ?? 'undefined') : String(value);
  } catch {
    return `an unreadable ${typeof value}`;
  }
}

function maskDetails(details: object): Record<string, unknown> {
  return copy(details, 0, new Set()) as Record<string, unknown>;
}

/** A bounded JSON-safe copy: details are made by user code, and one bad value must not take a probe's whole answer with it. */
function copy(value: unknown, depth: number, above: Set<object>): unknown {
  switch (typeof value) {
    case 'string':
      return shortText(value);
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'boolean':
      return value;
    case 'bigint':
      return String(value);
    case 'object':
      break;
    default:
      return undefined;
  }
  if (value === null) return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof Error) return shortText(describeError(value));
  if (above.has(value)) return '[circular]';
  if (depth >= MAX_DEPTH) return '[…]';
  above.add(value);
  const result = Array.isArray(value)
    ? value.slice(0, MAX_KEYS).map((item) => copy(item, depth + 1, above) ?? null)
    : copyFields(value, depth, above);
  above.delete(value);
  return result;
}

function copyFields(value: object, depth: number, above: Set<object>): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const key of Object.keys(value).slice(0, MAX_KEYS)) {
    if (key === '__proto__') continue;
    try {
      const field = (value as Record<string, unknown>)[key];
      const masked = isSecret(key, field) ? MASK : copy(field, depth + 1, above);
      if (masked !== undefined) fields[key] = masked;
    } catch {
      fields[key] = '[unreadable]';
    }
  }
  return fields;
}
