import { showable } from '../core/showable.js';

const LIMITS = { maxDepth: 8, maxItems: 5_000 } as const;

/** JSON that may be shown, without secrets: the last of several nets. Never throws. */
export function safeJson(value: unknown): string {
  return JSON.stringify(showable(value, LIMITS));
}
