import type { DrainReport } from '../core/broker.port.js';
import type { HealthReport } from '../core/health.port.js';
import type { MeshEvents } from '../core/mesh.events.js';

/** `down` while the server is away, `degraded` while a subscription has no room. */
export function brokerHealth(
  details: Readonly<Record<string, unknown>>,
  { awayReason, noRoom }: { readonly awayReason?: string | undefined; readonly noRoom: string | undefined },
): readonly (HealthReport & { readonly name: string })[] {
  const name = 'broker';
  if (awayReason !== undefined)
    return [{ name, status: 'down', reason: `The connection is away: ${awayReason}`, details }];
  if (noRoom !== undefined) return [{ name, status: 'degraded', reason: noRoom, details }];
  return [{ name, status: 'up', details }];
}

/** Of work that has begun at an instant of the clock's `monotonic()`. */
export function agesOf(
  running: Iterable<{ readonly name: string; readonly startedAt: number }>,
  now: number,
): DrainReport['abandoned'] {
  return Array.from(running, ({ name, startedAt }) => ({ name, ageMs: now - startedAt }));
}

/** A publish that fails is told even where nobody awaits it, and ends no process then. */
export function toldIfLost<T>(
  published: Promise<T>,
  events: MeshEvents,
  { transport, topic }: { readonly transport: string; readonly topic: string },
): Promise<T> {
  const what = `the message for "${topic}"`;
  published.catch((error: unknown) => events.emit('broker.transport-failed', { transport, what, error }));
  return published;
}
