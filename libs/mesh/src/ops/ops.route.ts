import { isMeshError, type MeshError } from '../core/mesh.error.js';
import type { MeshEvents } from '../core/mesh.events.js';
import type { RawRequest, RawResponse, RawRoute } from '../core/raw-route.js';
import type { OpsAccess } from './ops.access.js';
import { type OpsCall, type OpsEndpoint, scopeOf, type WriteEndpoint } from './ops.endpoints.js';
import { OpsBadRequestError, OpsNotFoundError } from './ops.errors.js';
import { safeJson } from './safe-json.js';

/** On every answer: what it says holds for now, and for whoever asked. */
const HEADERS = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
} as const;

export interface OpsRouteDeps {
  readonly endpoints: readonly OpsEndpoint[];
  readonly access: OpsAccess;
  readonly events: MeshEvents;
}

/** The operators' endpoints as one route, which covers everything below `root`. */
export function opsRoute(root: string, deps: OpsRouteDeps): RawRoute {
  return { method: 'ANY', path: `${root}/*`, handle: (request) => answer(request, root, deps) };
}

async function answer(request: RawRequest, root: string, deps: OpsRouteDeps): Promise<RawResponse> {
  try {
    return await dispatch(request, root, deps);
  } catch (error) {
    if (isMeshError(error)) return failure(error);
    throw error;
  }
}

async function dispatch(request: RawRequest, root: string, deps: OpsRouteDeps): Promise<RawResponse> {
  const segments = request.path.slice(root.length).split('/').filter(Boolean);
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const there = deps.endpoints.filter(({ path }) => matches(path, segments));
  const endpoint = there.find((candidate) => candidate.method === method);
  // Before anything is said about what is there and what is not.
  const who = await deps.access.admit(request, endpoint ? scopeOf(endpoint) : 'read');
  if (there.length === 0) throw new OpsNotFoundError(`There is no endpoint ${request.path}; GET ${root} lists them.`);
  if (!endpoint) return methodNotAllowed(request, there);

  const call: OpsCall = { request, who, name: nameIn(segments) };
  if (endpoint.method !== 'GET') return change(endpoint, call, deps.events);
  const result = endpoint.read(call);
  if ('data' in result) return json(200, result.data);
  return { ...result.response, headers: { ...HEADERS, ...result.response.headers } };
}

/** Makes the change and tells who made it, also when it failed: an attempt is worth knowing. */
async function change(endpoint: WriteEndpoint, call: OpsCall, events: MeshEvents): Promise<RawResponse> {
  const { what, apply } = await endpoint.plan(call);
  let status = 500;
  try {
    const response = json(200, await apply());
    status = response.status;
    return response;
  } catch (error) {
    if (isMeshError(error)) status = statusOf(error);
    throw error;
  } finally {
    if (what !== undefined) events.emit('ops.write', { who: call.who, what, path: call.request.path, status });
  }
}

function matches(path: string, segments: readonly string[]): boolean {
  const parts = path.split('/').filter(Boolean);
  return parts.length === segments.length && parts.every((part, i) => part === ':name' || part === segments[i]);
}

/** The last segment: no endpoint has a name elsewhere. Names may hold anything, so that a slash in them comes encoded. */
function nameIn(segments: readonly string[]): string {
  try {
    return decodeURIComponent(segments.at(-1) ?? '');
  } catch {
    throw new OpsBadRequestError(['The name in the path is not encoded as UTF-8.']);
  }
}

function methodNotAllowed({ method, path }: RawRequest, there: readonly OpsEndpoint[]): RawResponse {
  const allow = there.map((endpoint) => endpoint.method).join(', ');
  const response = failure(new OpsBadRequestError([`${path} takes ${allow}, not ${method}.`], 405));
  return { ...response, headers: { ...response.headers, allow } };
}

function failure(error: MeshError): RawResponse {
  const { code, message, details, retryAfterMs } = error;
  const status = statusOf(error);
  const response = json(status, { statusCode: status, code, message, ...(details && { details }) });
  return {
    ...response,
    headers: {
      ...response.headers,
      ...(status === 401 && { 'www-authenticate': 'Bearer realm="mesh"' }),
      ...(retryAfterMs !== undefined && { 'retry-after': String(Math.ceil(retryAfterMs / 1_000)) }),
    },
  };
}

/** A configuration that is wrong is the service's fault at boot, and the sender's here. */
function statusOf(error: MeshError): number {
  return error.code === 'MESH_CONFIG_INVALID' ? 400 : error.getStatus();
}

function json(status: number, data: unknown): RawResponse {
  return { status, headers: HEADERS, body: safeJson(data) };
}
