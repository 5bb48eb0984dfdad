import type { RetrySettings } from './policy-settings.js';

/**
 * The delay before retry number `retry` (from 1), in milliseconds; `random` is uniform in [0, 1).
 *
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ for full and equal jitter.
 */
export function backoffMs(settings: RetrySettings, retry: number, random: number): number {
  const growth = { exponential: 2 ** (retry - 1), linear: retry, constant: 1 }[settings.backoff];
  const delayMs = Math.min(settings.maxDelayMs, settings.delayMs * growth);
  switch (settings.jitter) {
    case 'full':
      return delayMs * random;
    case 'equal':
      return delayMs * (0.5 + random / 2);
    case 'none':
      return delayMs;
  }
}
