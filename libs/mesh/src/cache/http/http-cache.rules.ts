import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { HttpCacheOptions } from './http-cache.options.js';

/** What a request lets the cache do. `refresh`: load anew and keep; `only-if-cached`: answer from the cache or not at all. */
export type RequestDirective =
  | { readonly kind: 'bypass'; readonly reason: string }
  | { readonly kind: 'use'; readonly maxAgeMs: number; readonly onlyIfCached: boolean }
  | { readonly kind: 'refresh' };

export interface StaleWindows {
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
}

/** More query parameters than this are somebody trying to fill the cache. */
const MAX_QUERY_PARAMETERS = 32;

/** Statuses whose responses may be kept. @see RFC 9110, 15.1 */
const STORABLE_STATUS: ReadonlySet<number> = new Set([200, 203, 204, 301, 308, 404, 410]);

const KEPT_HEADERS = [
  'cache-control', 'content-disposition', 'content-language', 'content-location', 'content-type', 'etag', 'last-modified',
  'link', 'location', 'vary',
]; // prettier-ignore

/** Headers by which a request says whose it is. */
const CREDENTIALS = ['authorization', 'cookie', 'x-api-key'] as const;

/** What this request allows; `hasUser` when a guard has found out whose it is. @see RFC 9111, 3.5 and 5.2.1 */
export function requestDirective(
  method: string,
  headers: IncomingHttpHeaders,
  { scope, hasUser }: Pick<HttpCacheOptions<never>, 'scope'> & { readonly hasUser: boolean },
): RequestDirective {
  if (method !== 'GET' && method !== 'HEAD') return { kind: 'bypass', reason: 'method' };
  if (scope === undefined && (hasUser || CREDENTIALS.some((name) => headers[name] !== undefined)))
    return { kind: 'bypass', reason: 'credentials' };
  if (headers.range !== undefined) return { kind: 'bypass', reason: 'range' };
  const directives = parseDirectives(headers['cache-control']);
  if (directives.has('no-store')) return { kind: 'bypass', reason: 'no-store' };
  const maxAge = seconds(directives.get('max-age'));
  if (directives.has('no-cache') || maxAge === 0 || (directives.size === 0 && headers.pragma === 'no-cache'))
    return { kind: 'refresh' };
  return { kind: 'use', maxAgeMs: (maxAge ?? Infinity) * 1_000, onlyIfCached: directives.has('only-if-cached') };
}

/**
 * The key of a request, or `undefined` when it has none that is safe. Unambiguous: it is JSON of all its parts, and the
 * path stays as it was sent. Resolved, as `URL` does, what `/a/..` answers would be kept for `/`.
 */
export function requestKey(
  url: string,
  headers: IncomingHttpHeaders,
  principal: string | undefined,
  { varyBy = [], query }: Pick<HttpCacheOptions<never>, 'varyBy' | 'query'>,
): string | undefined {
  const queryAt = `${url}?`.indexOf('?');
  const path = url.slice(0, queryAt);
  const parameters = [...new URLSearchParams(url.slice(queryAt))].filter(([name]) => !query || query.includes(name));
  if (parameters.length > MAX_QUERY_PARAMETERS) return undefined;
  // Values of one name keep their order, which may mean something.
  parameters.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const vary = varyBy.map((name) => [name.toLowerCase(), headers[name.toLowerCase()] ?? null]);
  const host = headers.host ?? headers[':authority'] ?? '';
  return JSON.stringify([host, path, parameters, vary, principal ?? null]);
}

/** How long a response says that it may be kept, in milliseconds; `false`: not at all. @see RFC 9111, 3 */
export function storableFor(
  status: number,
  headers: OutgoingHttpHeaders,
  { scope, varyBy = [] }: Pick<HttpCacheOptions<never>, 'scope' | 'varyBy'>,
): number | undefined | false {
  if (!STORABLE_STATUS.has(status) || headers['set-cookie'] !== undefined) return false;
  const directives = parseDirectives(text(headers['cache-control']));
  if (directives.has('no-store') || directives.has('no-cache')) return false;
  if (directives.has('private') && scope !== 'private') return false;
  const known = new Set(varyBy.map((name) => name.toLowerCase()));
  const vary = (text(headers['vary']) ?? '').split(',').map((name) => name.trim().toLowerCase());
  if (vary.some((name) => name !== '' && !known.has(name))) return false;
  if (headers['content-encoding'] !== undefined && !known.has('accept-encoding')) return false;
  const declared = seconds(directives.get('s-maxage')) ?? seconds(directives.get('max-age'));
  if (declared === 0) return false;
  return declared === undefined ? undefined : declared * 1_000;
}

/** For how long past its freshness a response may be used, in milliseconds. @see RFC 9111, 4.2.4 */
export function staleWindows(
  headers: OutgoingHttpHeaders,
  { staleWhileRevalidateMs = 0, staleIfErrorMs = 0 }: Pick<HttpCacheOptions<never>, keyof StaleWindows>,
): StaleWindows {
  const directives = parseDirectives(text(headers['cache-control']));
  const isForbidden = ['must-revalidate', 'proxy-revalidate', 's-maxage'].some((name) => directives.has(name));
  return isForbidden ? { staleWhileRevalidateMs: 0, staleIfErrorMs: 0 } : { staleWhileRevalidateMs, staleIfErrorMs };
}

export function keptHeaders(headers: OutgoingHttpHeaders, more: readonly string[] = []): Record<string, string> {
  const names = [...KEPT_HEADERS, ...more.map((name) => name.toLowerCase())];
  return Object.fromEntries(
    names.flatMap((name) => (headers[name] === undefined ? [] : [[name, text(headers[name])!]])),
  );
}

/** Weak comparison, which is what GET asks for. @see RFC 9110, 13.1.2 */
export function matchesEtag(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  const bare = (tag: string): string => tag.trim().replace(/^W\//, '');
  return ifNoneMatch.trim() === '*' || ifNoneMatch.split(',').some((tag) => bare(tag) === bare(etag));
}

function parseDirectives(header: string | undefined): Map<string, string> {
  const directives = new Map<string, string>();
  for (const part of (header ?? '').split(',')) {
    const [name = '', value = ''] = part.split('=');
    if (name.trim() !== '') directives.set(name.trim().toLowerCase(), value.trim().replaceAll('"', ''));
  }
  return directives;
}

/**
 * What is no number counts as 0: a limit that can't be read is taken for the strictest. What is too large is 68 years.
 * @see RFC 9111, 1.2.2
 */
function seconds(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  return /^\d+$/.test(value) ? Math.min(Number(value), 2 ** 31) : 0;
}

function text(value: OutgoingHttpHeaders[string]): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value?.toString();
}
