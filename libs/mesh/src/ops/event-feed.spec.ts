import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { MeshEvents } from '../core/mesh.events.js';
import type { RawSink } from '../core/raw-route.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { EventFeed } from './event-feed.js';
import { EventJournal } from './event-journal.js';
import { HEARTBEAT_MS, MAX_STREAMS, MAX_UNREAD_BYTES, MAX_UNSENT_EVENTS } from './ops.constants.js';

class Client implements RawSink {
  text = '';
  bufferedBytes = 0;
  ended = false;
  leave: () => void = () => undefined;

  write(text: string): void {
    this.text += text;
  }
  end(): void {
    this.ended = true;
    this.leave();
  }
  onClose(callback: () => void): void {
    this.leave = callback;
  }
}

describe('EventFeed', () => {
  let clock: VirtualClock;
  let events: MeshEvents;
  let feed: EventFeed;
  const warn = (message: string) => events.emit('lifecycle.warning', { message });
  const connect = (lastId?: number): Client => {
    const client = new Client();
    const { body, stream } = feed.open(lastId);
    client.write(body);
    stream?.(client);
    return client;
  };

  beforeEach(() => {
    clock = new VirtualClock();
    events = new MeshEvents();
    feed = new EventFeed(new EventJournal(events, clock), clock);
  });

  it('sends what happens from now on to everybody, after the turn in which it happened', async () => {
    warn('before');
    const clients = [connect(), connect()];
    warn('after');
    expect(clients[0]?.text).not.toContain('after');
    await nextTurn();
    for (const { text } of clients) {
      expect(text).not.toContain('before');
      expect(text).toContain('id: 2\nevent: lifecycle.warning\ndata: {"id":2,');
    }
  });

  it('catches up with what a client missed, unless it comes from elsewhere', () => {
    warn('one');
    warn('two');
    expect(connect(1).text).toContain('two');
    expect(connect(1).text).not.toContain('one');
    expect(connect(99).text).not.toContain('data');
  });

  it('gives a newcomer no event twice, and none from before it came', async () => {
    const early = connect();
    warn('one');
    const [late, back] = [connect(), connect(0)];
    await nextTurn();
    expect([early, late, back].map(({ text }) => text.match(/"one"/g)?.length ?? 0)).toEqual([1, 0, 1]);
  });

  it('sends the latest of more events than it can in a turn', async () => {
    const client = connect();
    for (let i = 0; i <= MAX_UNSENT_EVENTS; i++) warn(`${i}`);
    await nextTurn();
    expect(client.text.match(/^id: \d+$/gm)).toHaveLength(MAX_UNSENT_EVENTS);
    expect(client.text).toContain(`"message":"${MAX_UNSENT_EVENTS}"`);
  });

  it('says that it is alive while nothing happens', async () => {
    const client = connect();
    await clock.advance(2 * HEARTBEAT_MS);
    expect(client.text.match(/: alive/g)).toHaveLength(2);
  });

  it('drops a client that does not read', async () => {
    const stuck = connect();
    stuck.bufferedBytes = MAX_UNREAD_BYTES + 1;
    const other = connect();
    warn('one');
    await nextTurn();
    warn('two');
    await nextTurn();
    expect([stuck.ended, feed.size]).toEqual([true, 1]);
    expect(stuck.text).not.toContain('two');
    expect(other.text).toContain('two');
  });

  it('refuses more clients than it can serve', () => {
    for (let i = 0; i < MAX_STREAMS; i++) connect();
    expect(() => feed.open()).toThrow(`${MAX_STREAMS} streams are open`);
  });

  it('leaves no timer and no listener behind when the last client leaves', async () => {
    const listeners = events.listenerCount();
    const client = connect();
    warn('to nobody');
    client.leave();
    warn('to nobody');
    await nextTurn();
    expect([clock.pendingTimers, feed.size, events.listenerCount() - listeners]).toEqual([0, 0, 0]);
    expect(client.text).not.toContain('to nobody');
  });

  it('ends every stream when it closes, after the last event, and opens none', () => {
    const clients = [connect(), connect()];
    warn('last');
    feed.close();
    expect(clients[1]?.text).toContain('last');
    expect(clients.map(({ ended }) => ended)).toEqual([true, true]);
    expect(clock.pendingTimers).toBe(0);
    expect(() => feed.open()).toThrow('stopping');
  });
});
