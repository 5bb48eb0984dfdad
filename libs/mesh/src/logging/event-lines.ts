import type { MeshEventMap, MeshEventName } from '../core/mesh.events.js';
import type { LogFields, LogLevel } from './log-sink.js';

/** One event as a line. Events with the same `key` are repeats of each other. */
export interface EventLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
  /** Absent: each one is news and is always written. */
  readonly key?: string;
}

type LineMakers = { readonly [N in MeshEventName]?: (event: MeshEventMap[N]) => Omit<EventLine, 'fields'> };

const LINES: LineMakers = {
  'breaker.transition': ({ policy, key, from, to, reason }) => ({
    level: to === 'open' || to === 'isolated' || to === 'disabled' ? 'warn' : 'info',
    message: `Circuit "${key === undefined ? policy : `${policy}[${key}]`}" went from ${from} to ${to}: ${reason}`,
    key: `${policy} ${key ?? ''} ${from} ${to}`,
  }),
  'lifecycle.step': ({ component, step, outcome, durationMs, error }) =>
    outcome === 'ok'
      ? { level: 'info', message: `Component "${component}" finished ${step} in ${ms(durationMs)}` }
      : {
          level: 'error',
          message: `Component "${component}" failed to ${step} after ${ms(durationMs)}: ${messageOf(error)}`,
          key: `${component} ${step} ${nameOf(error)}`,
        },
  'lifecycle.state': ({ component, from, to }) => ({
    level: 'debug',
    message: `Component "${component}" went from ${from} to ${to}`,
  }),
  'lifecycle.phase': ({ phase, durationMs, reason }) => ({
    level: phase === 'failed' ? 'error' : 'info',
    message: `Mesh is ${phase}${reason ? ` (${reason})` : ''}; the phase before took ${ms(durationMs)}`,
  }),
  'lifecycle.shutdown-phase': ({ phase, durationMs, inFlightBefore, inFlightAfter, unfinished }) => ({
    level: unfinished.length > 0 ? 'warn' : 'info',
    message:
      `Shutdown phase ${phase} took ${ms(durationMs)}, in flight ${inFlightBefore} -> ${inFlightAfter}` +
      (unfinished.length > 0 ? `; unfinished: ${unfinished.join(', ')}` : ''),
  }),
  'lifecycle.overrun': ({ totalMs, phase, hanging }) => ({
    level: 'error',
    message: `Shutdown exceeded its ${totalMs} ms in phase ${phase}; hanging: ${hanging.join(', ') || 'unknown'}`,
  }),
  'lifecycle.warning': ({ message }) => ({ level: 'warn', message, key: message }),
  'http.raw-route-failed': ({ method, path, error }) => ({
    level: 'error',
    message: `${method} ${path} failed: ${messageOf(error)}`,
    key: `${method} ${path} ${nameOf(error)}`,
  }),
  'broker.handler-failed': ({ topic, handler, error, retryInMs }) => ({
    level: retryInMs === undefined ? 'error' : 'warn',
    message:
      `Handler ${handler} failed on "${topic}": ${messageOf(error)}` +
      (retryInMs === undefined ? '' : `; next delivery in ${retryInMs} ms`),
    key: `${topic} ${handler} ${nameOf(error)} ${retryInMs === undefined}`,
  }),
  'broker.dead-lettered': ({ topic, handler, attempts, kept, error }) => ({
    level: 'error',
    message:
      `Message on "${topic}" was given up after ${attempts} deliveries to ${handler}: ${messageOf(error)}` +
      (kept ? '' : '; the oldest dead letter was dropped for it'),
    key: `${topic} ${handler} ${nameOf(error)} ${kept}`,
  }),
  'broker.drained': ({ finished, abandoned, durationMs }) => ({
    level: abandoned.length > 0 ? 'warn' : 'info',
    message: `Broker drained in ${ms(durationMs)}: ${finished} finished, ${abandoned.length} abandoned`,
  }),
  'health.transition': ({ contributor, from, to, reason }) => ({
    level: levelOf(to),
    message: `Health of "${contributor}" went from ${from} to ${to}${reason ? `: ${reason}` : ''}`,
    key: `${contributor} ${from} ${to}`,
  }),
  'health.group': ({ group, from, to, reason }) => ({
    level: levelOf(to),
    message: `Health group "${group}" went from ${from} to ${to}${reason ? `: ${reason}` : ''}`,
    key: `${group} ${from} ${to}`,
  }),
  'metrics.overflow': ({ metric, limit }) => ({
    level: 'warn',
    message: `Metric "${metric}" reached its limit of ${limit} label sets; further ones are counted in its __other__ series`,
  }),
};

/** The line for an event; one that nobody described is written with its name, as an error when it carries one. */
export function eventLine<N extends MeshEventName>(name: N, event: MeshEventMap[N]): EventLine {
  const { error, ...rest } = event as { readonly error?: unknown };
  const make = LINES[name] as ((event: MeshEventMap[N]) => Omit<EventLine, 'fields'>) | undefined;
  const line = make?.(event) ?? { level: error === undefined ? 'info' : 'error', message: name };
  return { ...line, fields: { event: name, ...rest, ...(error !== undefined && { err: error }) } };
}

function levelOf(status: string): LogLevel {
  if (status === 'down') return 'error';
  return status === 'degraded' || status === 'unknown' ? 'warn' : 'info';
}

function ms(durationMs: number): string {
  return `${Math.round(durationMs)} ms`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function nameOf(error: unknown): string {
  return error instanceof Error ? String((error as { code?: unknown }).code ?? error.name) : typeof error;
}
