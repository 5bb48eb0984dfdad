import type { WaitForOptions } from '../core/broker.port.js';
import type { Clock } from '../core/clock.js';
import { RequestTimeoutError } from './broker.errors.js';

const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 250;
const ADVICE = 'start the service that has the handler, or check the spelling';

/** Asks again and again, less and less often, until every pattern is served. */
export async function waitForPatterns(
  patterns: readonly string[],
  isServed: (pattern: string, leftMs: number) => Promise<boolean> | boolean,
  { clock, timeoutMs = 10_000, signal }: WaitForOptions & { readonly clock: Clock },
): Promise<void> {
  const giveUpAt = clock.monotonic() + timeoutMs;
  let missing = [...patterns];
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const askMs = Math.max(1, giveUpAt - clock.monotonic());
    const served = await Promise.all(missing.map((pattern) => isServed(pattern, askMs)));
    missing = missing.filter((_, i) => !served[i]);
    if (missing.length === 0) return;
    const leftMs = giveUpAt - clock.monotonic();
    if (leftMs <= 0) throw new RequestTimeoutError(missing.join('", "'), timeoutMs, ADVICE);
    await clock.sleep(Math.min(pauseMs, leftMs), signal);
  }
}
