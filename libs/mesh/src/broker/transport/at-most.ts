import type { Clock } from '../../core/clock.js';

/** Waits for the end of `work`, well or not, at most `limitMs`: a hung server answers nothing. Returns whether it ended. */
export async function atMost(clock: Clock, limitMs: number, work: Promise<unknown>): Promise<boolean> {
  const over = new AbortController();
  const ended = work.then(
    () => true,
    () => true,
  );
  const late = clock.sleep(limitMs, over.signal).then(
    () => false,
    () => false,
  );
  const isInTime = await Promise.race([ended, late]);
  over.abort();
  return isInTime;
}
