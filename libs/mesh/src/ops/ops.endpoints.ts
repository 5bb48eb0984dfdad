import type { BreakerCommand, ConfigCommand, MeshControl } from '../core/mesh-control.port.js';
import type { RawRequest, RawResponse } from '../core/raw-route.js';
import type { EventFeed } from './event-feed.js';
import type { EventJournal } from './event-journal.js';
import type { OpsScope } from './ops.access.js';
import { OpsBadRequestError, OpsNotFoundError } from './ops.errors.js';
import {
  breakerRequest,
  drainRequest,
  emptyRequest,
  eventsQuery,
  explainQuery,
  logLevelRequest,
  parse,
  parseQuery,
  readJson,
  rollbackRequest,
  updateQuery,
} from './ops.requests.js';

/** One admitted request. */
export interface OpsCall {
  readonly request: RawRequest;
  /** Who it is, for the audit. */
  readonly who: string;
  /** What stands in the place of `:name` in the endpoint's path. */
  readonly name: string;
}

/** What an endpoint answers: data that becomes JSON, or a whole response. */
export type OpsAnswer = { readonly data: unknown } | { readonly response: RawResponse };

/** A change that is understood and not made yet: the audit can name it whatever comes of it. */
export interface OpsChange {
  /** What it does, in words; absent when it changes nothing (a dry run). */
  readonly what?: string;
  apply(): Promise<unknown> | unknown;
}

interface EndpointPlace {
  /** Below the root: `breakers/:name`. */
  readonly path: string;
}

export interface ReadEndpoint extends EndpointPlace {
  readonly method: 'GET';
  read(call: OpsCall): OpsAnswer;
}

export interface WriteEndpoint extends EndpointPlace {
  readonly method: 'POST' | 'PATCH';
  plan(call: OpsCall): Promise<OpsChange>;
}

export type OpsEndpoint = ReadEndpoint | WriteEndpoint;

export function scopeOf({ method }: OpsEndpoint): OpsScope {
  return method === 'GET' ? 'read' : 'write';
}

export interface OpsEndpointsDeps {
  readonly control: MeshControl;
  readonly journal: EventJournal;
  readonly feed: EventFeed;
}

/** Everything that an operator can ask for or do. */
export function opsEndpoints(deps: OpsEndpointsDeps): readonly OpsEndpoint[] {
  const endpoints: OpsEndpoint[] = [...readEndpoints(deps), ...writeEndpoints(deps.control)];
  const index = endpoints.map(({ method, path }) => `${method} ${path}`);
  return [read('', () => ({ ...deps.control.service(), endpoints: index })), ...endpoints];
}

function readEndpoints({ control, journal, feed }: OpsEndpointsDeps): ReadEndpoint[] {
  return [
    read('components', () => ({ components: control.components() })),
    read('health', () => control.health()),
    read(
      'health/:name',
      ({ name }) => control.health().components.find((one) => one.name === name) ?? unknownPart(name),
    ),
    read('breakers', () => ({ breakers: control.breakers() })),
    read('breakers/:name', ({ name }) => ({ breakers: control.breakersOf(name) ?? unknownBreaker(name) })),
    read('config', () => control.config()),
    read('config/history', () => ({ generations: control.configHistory() })),
    read('config/explain', ({ request }) => {
      const { path } = parseQuery(explainQuery, request.query);
      return control.explainConfig(path);
    }),
    read('log-level', () => control.logLevel()),
    read('events', ({ request }) => {
      const { after, name } = parseQuery(eventsQuery, request.query);
      const events = journal.after(after).filter((entry) => name === undefined || entry.name === name);
      return { lastId: journal.lastId, events };
    }),
    { method: 'GET', path: 'stream', read: ({ request }) => ({ response: feed.open(lastEventId(request)) }) },
  ];
}

function writeEndpoints(control: MeshControl): WriteEndpoint[] {
  return [
    write('POST', 'breakers/:name', async ({ name, request, who }) => {
      const { key, ...asked } = parse(breakerRequest, await readJson(request));
      const command = ('reason' in asked ? { ...asked, author: who } : asked) as BreakerCommand;
      if (control.breakersOf(name) === undefined) unknownBreaker(name);
      return {
        what: describeCommand(command, name, key),
        apply: () => control.commandBreaker(name, command, key) ?? unknownBreaker(name, key),
      };
    }),
    write('PATCH', 'config', async (call) => {
      const command = configCommand(call);
      const patch = await readJson(call.request);
      if (typeof patch !== 'object' || patch === null || Array.isArray(patch) || Object.keys(patch).length === 0)
        throw new OpsBadRequestError(['The body must be an object with the options to change.']);
      return {
        // Its sections, not its values: those may be secrets.
        ...(!command.dryRun && { what: `change configuration of ${Object.keys(patch).join(', ')}` }),
        apply: () => control.updateConfig(patch, command),
      };
    }),
    write('POST', 'config/rollback', async (call) => {
      const command = configCommand(call);
      const { generation } = parse(rollbackRequest, await readJson(call.request));
      return {
        ...(!command.dryRun && { what: `roll configuration back to generation ${generation}` }),
        apply: () => control.rollbackConfig(generation, command),
      };
    }),
    write('POST', 'log-level', async ({ request }) => {
      const { level, ttlMs } = parse(logLevelRequest, await readJson(request));
      return {
        what: level === null ? 'log at the configured level' : `log at level ${level}${during(ttlMs)}`,
        apply: () => control.setLogLevel(level ?? undefined, ttlMs),
      };
    }),
    write('POST', 'drain', async ({ request }) => {
      const { reason } = parse(drainRequest, await readJson(request));
      return { what: `take the instance out of rotation: ${reason}`, apply: () => readiness(control, reason) };
    }),
    write('POST', 'undrain', async ({ request }) => {
      parse(emptyRequest, await readJson(request));
      return { what: 'take the instance back into rotation', apply: () => readiness(control) };
    }),
  ];
}

function configCommand({ request, who }: OpsCall): ConfigCommand {
  const { dryRun, expectedGeneration, healthWindowMs } = parseQuery(updateQuery, request.query);
  return {
    source: `ops, ${who}`,
    ...(dryRun !== undefined && { dryRun }),
    ...(expectedGeneration !== undefined && { expectedGeneration }),
    ...(healthWindowMs !== undefined && { healthWindowMs }),
  };
}

function readiness(control: MeshControl, reason?: string): unknown {
  control.setReadiness(reason === undefined ? { ready: true } : { ready: false, reason });
  return control.service();
}

function describeCommand(command: BreakerCommand, name: string, key: string | undefined): string {
  const which = `breaker "${name}"${key === undefined ? '' : ` of key "${key}"`}`;
  if (!('reason' in command)) return `${command.action} ${which}`;
  return `${command.action} ${which}${during(command.ttlMs)}: ${command.reason}`;
}

function during(ttlMs: number | undefined): string {
  return ttlMs === undefined ? '' : ` for ${ttlMs} ms`;
}

function unknownPart(name: string): never {
  throw new OpsNotFoundError(
    `Nothing called "${name}" counts in the health of this service; GET health lists what does.`,
  );
}

function unknownBreaker(name: string, key?: string): never {
  const which = key === undefined ? `"${name}"` : `"${name}" of key "${key}"`;
  throw new OpsNotFoundError(`There is no circuit breaker ${which}; GET breakers lists those that calls have made.`);
}

/** The browser's own header, which it sends when it comes back, or the query for whoever has no such browser. */
function lastEventId({ headers, query }: RawRequest): number | undefined {
  const text = headers['last-event-id'] ?? query.get('after');
  return typeof text === 'string' && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function read(path: string, data: (call: OpsCall) => unknown): ReadEndpoint {
  return { method: 'GET', path, read: (call) => ({ data: data(call) }) };
}

function write(method: WriteEndpoint['method'], path: string, plan: WriteEndpoint['plan']): WriteEndpoint {
  return { method, path, plan };
}
