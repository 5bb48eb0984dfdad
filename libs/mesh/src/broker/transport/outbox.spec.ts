import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { transportFixture } from '../../../../../test/broker/scripted-driver.fixture.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const KIB = 1_024;

/** Bytes of buffers that are still referred to. */
function heldBytes(): number {
  collect();
  return process.memoryUsage().arrayBuffers;
}

it('keeps nothing of the messages whose time went by while the broker was away', async () => {
  const { broker, clock, told } = await transportFixture({}, { startsAway: 'no answer' });
  const before = heldBytes();
  for (let round = 0; round < 20; round++) {
    const payload = (): Uint8Array => new Uint8Array(256 * KIB);
    const sent = Array.from({ length: 8 }, () => broker.publish('orders', payload(), { timeoutMs: 100 }));
    const results = Promise.allSettled(sent);
    await clock.advance(200);
    await results;
  }
  // Errors hold on to the frames that they were made in.
  told.length = 0;
  // What is collected is freed by another thread, which may come late on a busy machine.
  await expect.poll(() => (heldBytes() - before) / KIB, { timeout: 10_000 }).toBeLessThan(4 * KIB);
  await broker.stop();
});
