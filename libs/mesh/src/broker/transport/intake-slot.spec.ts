import { expect, it } from 'vitest';
import { IntakeSlot } from './intake-slot.js';

it('closes its intake once, however often it is stopped', async () => {
  let closed = 0;
  const slot = new IntakeSlot('messages of "n"', async () => ({ stop: async () => void closed++ }));
  await slot.ensure();
  await Promise.all([slot.stop(), slot.stop()]);
  await slot.stop();
  await slot.ensure();
  expect(closed).toBe(1);
});
