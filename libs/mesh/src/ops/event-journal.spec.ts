import { expect, it } from 'vitest';
import { MeshEvents } from '../core/mesh.events.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { EventJournal } from './event-journal.js';
import { MAX_EVENTS } from './ops.constants.js';

function journal() {
  const events = new MeshEvents();
  const warn = (count: number) => {
    for (let i = 0; i < count; i++) events.emit('lifecycle.warning', { message: `${i}` });
  };
  return { events, warn, journal: new EventJournal(events, new VirtualClock()) };
}

const ids = (entries: readonly { readonly id: number }[]) => entries.map(({ id }) => id);

it('keeps events in order, and gives those after an id', () => {
  const { journal: kept, warn } = journal();
  warn(3);
  expect(ids(kept.after(0))).toEqual([1, 2, 3]);
  expect(ids(kept.after(2))).toEqual([3]);
  expect(kept.after(3)).toEqual([]);
});

it.each([MAX_EVENTS - 1, MAX_EVENTS, MAX_EVENTS + 1, 2 * MAX_EVENTS, 2 * MAX_EVENTS + 7])(
  'keeps the latest of %i',
  (count) => {
    const { journal: kept, warn } = journal();
    warn(count);
    const oldest = Math.max(1, count - MAX_EVENTS + 1);
    expect(ids(kept.after(0))).toEqual(Array.from({ length: count - oldest + 1 }, (_, i) => oldest + i));
    expect(ids(kept.after(count - 2))).toEqual([count - 1, count]);
  },
);

it('stops with nobody listening', () => {
  const { journal: kept, events, warn } = journal();
  kept.stop();
  warn(1);
  expect([kept.lastId, events.listenerCount()]).toEqual([0, 0]);
});
