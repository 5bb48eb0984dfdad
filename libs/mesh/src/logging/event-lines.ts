import type { MeshEventMap, MeshEventName } from '../core/mesh.events.js';
import { messageOf } from '../core/message-of.js';
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
  'breaker.sharing': ({ state, error }) => ({
    level: state === 'up' ? 'info' : 'warn',
    message:
      state === 'up'
        ? 'Circuit breakers are shared with the other instances again'
        : `Circuit breakers are not shared with the other instances: ${messageOf(error)}`,
    key: state,
  }),
  'policy.resolved': ({ policy, order }) => ({ level: 'info', message: `Policy "${policy}": ${order}` }),
  // What calls meet comes at the rate of the calls: one line a window each, with the number of the others.
  'call.rejected': ({ policy, outcome, count }) => ({
    level: 'warn',
    message: `Policy "${policy}" refused ${count === 1 ? 'a call' : `${count} calls`}: ${outcome}`,
    key: `${policy} ${outcome}`,
  }),
  'call.retry': ({ policy, attempt, delayMs, error }) => ({
    level: 'debug',
    message: `Policy "${policy}" repeats attempt ${attempt} in ${ms(delayMs)}: ${messageOf(error)}`,
    key: policy,
  }),
  'call.retry-budget-exhausted': ({ policy }) => ({
    level: 'warn',
    message: `Policy "${policy}" has used up its retry budget; failures are final`,
    key: policy,
  }),
  'call.hedge': ({ policy, afterMs }) => ({
    level: 'debug',
    message: `Policy "${policy}" sent another attempt after ${ms(afterMs)}`,
    key: policy,
  }),
  'call.timeout': ({ policy, afterMs }) => ({
    level: 'warn',
    message: `Policy "${policy}" gave up an attempt after ${ms(afterMs)}`,
    key: policy,
  }),
  'call.late': ({ policy, afterMs, failed }) => ({
    level: 'debug',
    message: `An attempt of "${policy}" ${failed ? 'failed' : 'succeeded'} after ${ms(afterMs)}, when nobody waited any more`,
    key: policy,
  }),
  'call.fallback': ({ policy, error }) => ({
    level: 'warn',
    message: `Policy "${policy}" answered with its fallback: ${messageOf(error)}`,
    key: `${policy} ${nameOf(error)}`,
  }),
  'call.fault': ({ policy, kind }) => ({
    level: 'debug',
    message: `A fault was injected into policy "${policy}" on purpose: ${kind}`,
    key: `${policy} ${kind}`,
  }),
  'policy.fault': ({ policy, state, what, until, reason }) => ({
    level: state === 'on' ? 'warn' : 'info',
    message:
      state === 'on'
        ? `Policy "${policy}" injects faults on purpose until ${new Date(until ?? 0).toISOString()}: ${what}`
        : `Policy "${policy}" injects no faults any more, ${reason}: ${what}`,
  }),
  'policy.predicate-failed': ({ policy, predicate, error }) => ({
    level: 'error',
    message: `Predicate ${predicate} of policy "${policy}" threw: ${messageOf(error)}`,
    key: `${policy} ${predicate}`,
  }),
  'policy.changed': ({ policy, changes }) => ({
    level: 'info',
    message: `Policy "${policy}" changed: ${changes.map(({ path }) => path).join(', ')}`,
  }),
  'policy.rejected': ({ policy, error }) => ({
    level: 'error',
    message: `Policy "${policy}" keeps its old options: ${messageOf(error)}`,
  }),
  // An audit trail: every one is written.
  'ops.write': ({ who, what, status }) => ({
    level: status < 400 ? 'info' : 'warn',
    message: `Operator (${who}): ${what}; answered ${status}`,
  }),
  'ops.locked-out': ({ remoteAddress }) => ({
    level: 'warn',
    message: `Too many wrong tokens for the operator endpoints came from ${remoteAddress}`,
    key: remoteAddress,
  }),
  'ops.listening': ({ host, port }) => ({ level: 'info', message: `Operator endpoints listen on ${host}:${port}` }),
  'config.changed': ({ generation, source, changes }) => ({
    level: 'info',
    message: `Configuration ${generation} is in force (${source}): ${changes.map(({ path }) => path).join(', ')}`,
  }),
  'config.rejected': ({ generation, source, reason }) => ({
    level: 'warn',
    message: `A change of the configuration (${source}) was refused, ${generation} stays in force: ${reason}`,
    key: `${source} ${reason}`,
  }),
  'config.rolled-back': ({ generation, source, reason }) => ({
    level: 'error',
    message: `The configuration (${source}) was taken back, ${generation} is in force: ${reason}`,
  }),
  'component.replaced': ({ component, from, to, leftovers }) => ({
    level: leftovers === 0 ? 'info' : 'warn',
    message: `The ${component} is ${to} now, no longer ${from}${leftovers === 0 ? '' : `, which failed to stop: ${leftovers} errors`}`,
  }),
  'cache.second-tier': ({ state, reason }) => ({
    level: state === 'up' ? 'info' : 'warn',
    message: `The second tier of the cache is ${state}: ${reason}`,
    key: state,
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
    message: `Mesh ${phase === 'failed' ? 'failed to start' : `is ${phase}`}${reason ? ` (${reason})` : ''}; the phase before took ${ms(durationMs)}`,
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
  'broker.connection': ({ transport, state, reason }) => ({
    level: state === 'up' ? 'info' : 'warn',
    message: `The connection to ${transport} is ${state}: ${reason}`,
    key: `${transport} ${state}`,
  }),
  'broker.transport-failed': ({ transport, what, error }) => ({
    level: 'warn',
    message: `${transport}: ${what} failed: ${messageOf(error)}`,
    key: `${transport} ${what} ${nameOf(error)}`,
  }),
  'broker.dedupe-unavailable': ({ topic, handler, error }) => ({
    level: 'warn',
    message: `Handler ${handler} works on "${topic}" without deduplication: ${messageOf(error)}`,
    key: `${topic} ${handler} ${nameOf(error)}`,
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
  'health.group': ({ group, from, to, reason, draining }) => ({
    // A shutdown takes the instance out of traffic on purpose: each rollout would write an error.
    level: draining ? 'info' : levelOf(to),
    message: `Health group "${group}" went from ${from} to ${to}${reason ? `: ${reason}` : ''}`,
    key: `${group} ${from} ${to}`,
  }),
  'metrics.overflow': ({ metric, limit }) => ({
    level: 'warn',
    message: `Metric "${metric}" reached its limit of ${limit} label sets; further ones are counted in its __other__ series`,
  }),
};

/**
 * The line for an event. One that nobody described is written by its name, as an error when it carries one; it may come
 * at any rate, so those of one name are repeats of each other.
 */
export function eventLine<N extends MeshEventName>(name: N, event: MeshEventMap[N]): EventLine {
  const { error, ...rest } = event as { readonly error?: unknown };
  const make = LINES[name] as ((event: MeshEventMap[N]) => Omit<EventLine, 'fields'>) | undefined;
  const line = make?.(event) ?? { level: error === undefined ? 'info' : 'error', message: name, key: '' };
  return { ...line, fields: { event: name, ...rounded(rest), ...(error !== undefined && { err: error }) } };
}

/** Durations are told to a tenth of a millisecond, as in the access log. */
function rounded(fields: Readonly<Record<string, unknown>>): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'number' && name.endsWith('Ms') ? Math.round(value * 10) / 10 : value,
    ]),
  );
}

function levelOf(status: string): LogLevel {
  if (status === 'down') return 'error';
  return status === 'degraded' || status === 'unknown' ? 'warn' : 'info';
}

function ms(durationMs: number): string {
  return `${Math.round(durationMs)} ms`;
}

function nameOf(error: unknown): string {
  return error instanceof Error ? String((error as { code?: unknown }).code ?? error.name) : typeof error;
}
