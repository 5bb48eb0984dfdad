import { expect, it } from 'vitest';
import { MeshEvents } from '../core/mesh.events.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { EventJournal } from './event-journal.js';
import { MAX_EVENTS_PER_NAME } from './ops.constants.js';

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

it('keeps the latest of each name, whatever else comes at the rate of calls', () => {
  const { journal: kept, events, warn } = journal();
  warn(1);
  for (let i = 0; i < 10 * MAX_EVENTS_PER_NAME; i++) {
    events.emit('call.timeout', { policy: 'pay', attempt: i, afterMs: 800 });
    if (i % 2 === 0) events.emit('call.fallback', { policy: 'pay', error: new Error('no') });
  }
  warn(1);
  const all = ids(kept.after(0));
  expect([all[0], all.at(-1), all.length]).toEqual([1, kept.lastId, 2 + 2 * MAX_EVENTS_PER_NAME]);
  expect(all).toEqual(all.toSorted((a, b) => a - b));
  expect(ids(kept.after(kept.lastId - 3))).toHaveLength(3);
});

it('keeps what is shown of an error, not the error with all that it holds', () => {
  const { journal: kept, events } = journal();
  const error = Object.assign(new TypeError('no redis://u:planted@h'), { code: 'E_NO', response: { body: 'planted' } });
  events.emit('call.fallback', { policy: 'pay', error });
  expect(kept.after(0)[0]?.event).toEqual({
    policy: 'pay',
    error: { name: 'TypeError', code: 'E_NO', message: 'no redis://***@h' },
  });
});

it('stops with nobody listening', () => {
  const { journal: kept, events, warn } = journal();
  kept.stop();
  warn(1);
  expect([kept.lastId, events.listenerCount()]).toEqual([0, 0]);
});
