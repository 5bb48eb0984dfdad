import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from 'vitest';
import { CallContexts } from '../core/call-context.js';
import { SystemClock } from '../core/clock.js';
import { fixedOptions } from '../core/live-options.js';
import { type MeshEventMap, MeshEvents } from '../core/mesh.events.js';
import { ServiceInfo } from '../core/service-info.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { EventLog } from './event-log.js';
import { MemorySink } from './logging.fixture.js';
import { loggingSchema } from './logging.options.js';
import { PinoLog } from './pino.adapter.js';

function setup(options: { repeatWindowMs?: number } = {}) {
  const events = new MeshEvents();
  const sink = new MemorySink();
  const clock = new VirtualClock();
  const contexts = new CallContexts();
  const log = new EventLog(events, { sink, clock, contexts, options: fixedOptions(loggingSchema.parse(options)) });
  const fail = (message = 'no', topic = 'orders') =>
    events.emit('broker.handler-failed', { topic, handler: 'Receipts.on', error: new TypeError(message) });
  return { events, sink, clock, log, fail, lines: sink.lines };
}

const opened: MeshEventMap['breaker.transition'] = {
  policy: 'payments.charge',
  from: 'closed',
  to: 'open',
  reason: '6 of 10 calls failed',
  calls: 10,
  failures: 6,
  openMs: 5_000,
};

describe('EventLog', () => {
  it('writes a transition once, with its fields and a sentence', () => {
    const { events, lines } = setup();
    events.emit('breaker.transition', opened);
    expect(lines).toEqual([
      {
        level: 'warn',
        message: 'Circuit "payments.charge" went from closed to open: 6 of 10 calls failed',
        fields: { event: 'breaker.transition', ...opened },
      },
    ]);
  });

  it('chooses the level by what the event means', () => {
    const { events, lines } = setup();
    const step = { component: 'cache', step: 'start', durationMs: 12.4 } as const;
    events.emit('breaker.transition', { ...opened, from: 'half-open', to: 'closed' });
    events.emit('lifecycle.step', { ...step, outcome: 'ok' });
    events.emit('lifecycle.step', { ...step, outcome: 'failed', error: new Error('refused') });
    events.emit('lifecycle.phase', { phase: 'ready', durationMs: 3 });
    events.emit('lifecycle.phase', { phase: 'failed', durationMs: 3 });
    events.emit('health.transition', { contributor: 'db', from: 'up', to: 'down', reason: 'timeout' });
    expect(lines.map(({ level }) => level)).toEqual(['info', 'info', 'error', 'info', 'error', 'error']);
    expect(lines[2]?.message).toBe('Component "cache" failed to start after 12 ms: refused');
  });

  it('tells durations to a tenth of a millisecond', () => {
    const { events, lines } = setup();
    events.emit('breaker.transition', { ...opened, openMs: 2_175.961859860665 });
    expect(lines[0]?.fields['openMs']).toBe(2_176);
  });

  it('writes no error for the readiness that goes down because the application shuts down', () => {
    const { events, lines } = setup();
    const down = { group: 'ready', from: 'up', to: 'down' } as const;
    events.emit('health.group', { ...down, reason: 'db: gone' });
    events.emit('health.group', { ...down, from: 'degraded', draining: true });
    expect(lines.map(({ level }) => level)).toEqual(['error', 'info']);
  });

  it('hands an error over as err, so that its stack is written', () => {
    const { fail, lines } = setup();
    fail();
    expect(lines[0]?.fields['err']).toBeInstanceOf(TypeError);
    expect(lines[0]?.fields).not.toHaveProperty('error');
  });

  it('writes an event that it does not know by its name', () => {
    const { events, lines } = setup();
    events.emit('no.such' as never, { a: 1 } as never);
    expect(lines).toEqual([{ level: 'info', message: 'no.such', fields: { event: 'no.such', a: 1 } }]);
  });

  it('counts repeats and writes the last of them when the window ends', async () => {
    const { fail, lines, clock } = setup();
    for (let i = 0; i < 5; i++) fail(`no ${i}`);
    fail('other topic', 'refunds');
    expect(lines.map(({ message }) => message)).toEqual([
      'Handler Receipts.on failed on "orders": no 0',
      'Handler Receipts.on failed on "refunds": other topic',
    ]);
    await clock.advance(10_000);
    expect(lines.slice(2)).toMatchObject([
      {
        message:
          'Handler Receipts.on failed on "orders": no 4 (4 more since the last line, the last of them 10000 ms ago)',
        fields: { suppressed: 4, agoMs: 10_000 },
      },
    ]);
  });

  it('writes one line a window while it goes on, and at once again after a quiet window', async () => {
    const { fail, lines, clock } = setup();
    fail();
    for (let window = 0; window < 3; window++) {
      fail();
      fail();
      await clock.advance(10_000);
    }
    expect(lines).toHaveLength(4);
    await clock.advance(10_000);
    expect(clock.pendingTimers).toBe(0);
    fail();
    expect(lines).toHaveLength(5);
  });

  it('writes one line a window for what calls meet in an outage, and for events that it does not know', () => {
    const { events, lines } = setup();
    for (let i = 0; i < 3_000; i++) {
      events.emit('call.timeout', { policy: 'pay', attempt: 1, afterMs: 800 });
      events.emit('call.fallback', { policy: 'pay', error: new Error(`no ${i}`) });
      events.emit('no.such' as never, { i } as never);
    }
    expect(lines.map(({ message }) => message)).toEqual([
      'Policy "pay" gave up an attempt after 800 ms',
      'Policy "pay" answered with its fallback: no 0',
      'no.such',
    ]);
  });

  // With the machine's clock: a virtual one runs its timers in the context of whoever advances it.
  it('gives the line of repeats the ids of the last of them, not of the request whose event began the window', async () => {
    const events = new MeshEvents();
    const clock = new SystemClock();
    const contexts = new CallContexts();
    const ofTheHost = new AsyncLocalStorage<string>();
    const options = fixedOptions(loggingSchema.parse({ repeatWindowMs: 20 }));
    const lines: Record<string, unknown>[] = [];
    const { promise: written, resolve } = Promise.withResolvers<void>();
    const write = (line: string) => {
      lines.push({ ...(JSON.parse(line) as object), host: ofTheHost.getStore() });
      if (lines.length === 4) resolve();
    };
    const service = new ServiceInfo('shop', '1');
    const sink = new PinoLog({ options, service, contexts, clock, destination: { write } });
    const log = new EventLog(events, { sink, clock, contexts, options });
    const fail = (topic: string) =>
      events.emit('broker.handler-failed', { topic, handler: 'Receipts.on', error: new Error('no') });
    const failWithin = (correlationId: string, topic: string) =>
      ofTheHost.run(correlationId, () => contexts.run({ correlationId }, () => fail(topic)));
    failWithin('a', 'orders');
    failWithin('b', 'orders');
    failWithin('c', 'orders');
    failWithin('d', 'refunds');
    fail('refunds');
    await written;
    log.stop();
    const shown = lines.map(({ topic, suppressed, correlationId, host }) => ({
      topic,
      suppressed,
      correlationId,
      host,
    }));
    expect(shown).toEqual([
      { topic: 'orders', correlationId: 'a', host: 'a' },
      { topic: 'refunds', correlationId: 'd', host: 'd' },
      { topic: 'orders', suppressed: 2, correlationId: 'c' },
      { topic: 'refunds', suppressed: 1 },
    ]);
  });

  it('writes every event with a window of 0', () => {
    const { fail, lines, clock } = setup({ repeatWindowMs: 0 });
    fail();
    fail();
    expect(lines).toHaveLength(2);
    expect(clock.pendingTimers).toBe(0);
  });

  it('watches a bounded number of events for repeats', () => {
    const { fail, lines, clock } = setup();
    for (let i = 0; i < 1_500; i++) fail('no', `topic-${i}`);
    expect(lines).toHaveLength(1_500);
    expect(clock.pendingTimers).toBe(1_000);
  });

  it('writes what it counted and leaves nothing behind when it stops', () => {
    const { fail, lines, clock, events, log } = setup();
    for (let i = 0; i < 3; i++) fail();
    log.stop();
    expect(lines[1]?.fields['suppressed']).toBe(2);
    fail();
    expect(lines).toHaveLength(2);
    expect(clock.pendingTimers).toBe(0);
    expect(events.listenerCount()).toBe(0);
  });
});
