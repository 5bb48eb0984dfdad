import { describe, expect, it } from 'vitest';
import { BlockingClock } from '../../../../test/blocking-clock.fixture.js';
import { EventLoopSampler } from '../core/event-loop.sampler.js';
import { ApplicationHealth } from './application-health.js';

function start() {
  const clock = new BlockingClock();
  const application = new ApplicationHealth({ clock, eventLoop: new EventLoopSampler(clock) }, () => 10_000);
  let changes = 0;
  application.onChange = () => changes++;
  application.start();
  return { clock, application, changes: () => changes };
}

describe('ApplicationHealth', () => {
  it('is not live in the second after the event loop was blocked for longer than the limit', async () => {
    const { clock, application, changes } = start();
    clock.block(12_000);
    await clock.advance(1_000);
    expect(application.entryFor('live', true)).toEqual({
      status: 'down',
      reason: 'The event loop was blocked for 12000 ms.',
    });
    await clock.advance(1_000);
    expect(application.entryFor('live', true)).toBeUndefined();
    expect(changes()).toBe(2);
  });

  it('stays live through a block within the limit, and tells nobody', async () => {
    const { clock, application, changes } = start();
    clock.block(9_000);
    await clock.advance(5_000);
    expect(application.entryFor('live', true)).toBeUndefined();
    expect(changes()).toBe(0);
  });

  it('leaves no timer behind', async () => {
    const { clock, application } = start();
    await clock.advance(3_000);
    application.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it.each(['draining', 'stopping', 'stopped', 'failed', 'starting'] as const)('is not ready while %s', (phase) => {
    const { application } = start();
    application.setPhase('ready');
    application.setPhase(phase);
    expect(application.entryFor('ready', true)?.status).toBe('down');
    expect(application.entryFor('live', true)).toBeUndefined();
  });
});
