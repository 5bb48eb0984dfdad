import type { HealthReport, HealthStatus } from '../core/health.port.js';
import { maskText } from '../core/secrets.js';
import { showable } from '../core/showable.js';

const MAX_TEXT = 300;
/** How much of a text is looked at: more than is shown, so that a secret at the cut is still recognised. */
const MAX_SCANNED = 4_000;
/** Details are made by user code, and one bad value must not take a probe's whole answer with it. */
const LIMITS = { maxDepth: 4, maxItems: 50, text: shortText } as const;

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
          ...(typeof details === 'object' &&
            details !== null && { details: showable(details, LIMITS) as Record<string, unknown> }),
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
