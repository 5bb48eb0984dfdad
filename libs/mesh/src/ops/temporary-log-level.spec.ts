import { beforeEach, expect, it } from 'vitest';
import { SettableOptions } from '../core/live-options.js';
import type { LogLevelName } from '../core/mesh-control.port.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { TemporaryLogLevel } from './temporary-log-level.js';

let clock: VirtualClock;
let options: SettableOptions<{ level: LogLevelName; other?: number }>;
let logger: { level: string };
let level: TemporaryLogLevel;

beforeEach(() => {
  clock = new VirtualClock();
  options = new SettableOptions<{ level: LogLevelName; other?: number }>({ level: 'info' });
  logger = { level: 'info' };
  // As the logger itself does.
  options.onChange((next) => (logger.level = next.level));
  level = new TemporaryLogLevel(options, logger, clock);
});

it('holds for its time, then the configured level is back', async () => {
  level.set('debug', 1_000);
  expect(level.view()).toEqual({ level: 'debug', configured: 'info', until: clock.now() + 1_000 });
  await clock.advance(999);
  expect(logger.level).toBe('debug');
  await clock.advance(1);
  expect([logger.level, level.view()]).toEqual(['info', { level: 'info', configured: 'info' }]);
});

it('outlasts a change of the configuration, and then gives way to the new one', async () => {
  level.set('debug', 1_000);
  options.set({ level: 'warn', other: 1 });
  expect(logger.level).toBe('debug');
  await clock.advance(1_000);
  expect(logger.level).toBe('warn');
});

it('is replaced by the next one, whose time counts', async () => {
  level.set('debug', 1_000);
  level.set('trace');
  await clock.advance(5_000);
  expect([logger.level, level.view().until, clock.pendingTimers]).toEqual(['trace', undefined, 0]);
});

it('leaves no timer behind', () => {
  level.set('debug', 1_000);
  level.stop();
  expect(clock.pendingTimers).toBe(0);
});
