import {
  type CallHandler,
  type ExecutionContext,
  HttpException,
  Inject,
  Injectable,
  type NestInterceptor,
} from '@nestjs/common';
import { createHash } from 'node:crypto';
import { catchError, from, type Observable, of, switchMap, throwError } from 'rxjs';
import { CacheClient, type LoadContext } from '../../core/cache.port.js';
import { MeshRuntime } from '../../core/mesh-runtime.js';
import { MESH_RUNTIME } from '../../core/method-advice.js';
import { HTTP_CACHE_OPTIONS, type HttpCacheOptions } from './http-cache.options.js';
import {
  keptHeaders,
  matchesEtag,
  type RequestDirective,
  requestDirective,
  requestKey,
  staleWindows,
  type StaleWindows,
  storableFor,
} from './http-cache.rules.js';
import { HttpExchange, type SentResponse } from './http-exchange.js';

/** A response as it is kept. */
interface KeptResponse extends StaleWindows {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** What to send; without a response, that there is none. */
interface Answer {
  readonly kept: KeptResponse | undefined;
  readonly ageMs: number;
  /** What `Cache-Status` says of it. @see RFC 9211 */
  readonly status: string;
}

/** The handler has to run. `fallback` answers if it fails. */
interface Forward {
  readonly fallback?: Answer | undefined;
}

type Decision = { readonly answer: Answer } | { readonly forward: Forward };

type Found =
  | { readonly state: 'too old' }
  | { readonly state: 'fresh'; readonly answer: Answer }
  | { readonly state: 'stale'; readonly whileRenewing: Answer | undefined; readonly ifError: Answer | undefined };

type AnyOptions = HttpCacheOptions<unknown>;

const MAX_BODY_BYTES = 1_024 * 1_024;
const NEVER_SOFT_MS = 86_400_000;
/** The name of this cache in `Cache-Status`. @see RFC 9211 */
const CACHE_NAME = 'nestjs-mesh';

/** Serves what `@HttpCache` says. */
@Injectable()
export class HttpCacheInterceptor implements NestInterceptor {
  /** Keys whose stale response is being renewed by a request. */
  readonly #renewing = new Set<string>();

  constructor(@Inject(MESH_RUNTIME) private readonly runtime: MeshRuntime) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const options = Reflect.getMetadata(HTTP_CACHE_OPTIONS, context.getHandler()) as AnyOptions | undefined;
    if (!options || context.getType() !== 'http') return next.handle();
    const http = context.switchToHttp();
    const exchange = new HttpExchange(http.getRequest(), http.getResponse());
    const { method = 'GET', headers } = exchange.request;

    const { user } = exchange.request as { readonly user?: unknown };
    const hasUser = user !== undefined && user !== null;
    const directive = requestDirective(method, headers, { ...options, hasUser });
    const principal = options.principal?.(exchange.request);
    const key =
      directive.kind === 'bypass' || (options.scope === 'private' && principal === undefined)
        ? undefined
        : requestKey(urlOf(exchange), headers, principal, options);
    if (options.varyBy?.length) exchange.addVary(options.varyBy);
    if (key === undefined || directive.kind === 'bypass') {
      exchange.setHeader('Cache-Status', `${CACHE_NAME}; fwd=bypass`);
      return next.handle();
    }
    return from(this.#resolve(key, directive, exchange, options)).pipe(
      switchMap((decision) => {
        if ('forward' in decision) return this.#forward(next, decision.forward, exchange);
        this.#answer(decision.answer, exchange);
        return of(undefined);
      }),
    );
  }

  /** Guards and pipes have passed by now: what fails here is the handler, or what it stands on. */
  #forward(next: CallHandler, { fallback }: Forward, exchange: HttpExchange): Observable<unknown> {
    if (!fallback) return next.handle();
    return next.handle().pipe(
      catchError((error: unknown) => {
        const isServerError = !(error instanceof HttpException) || error.getStatus() >= 500;
        if (!isServerError || exchange.isSent) return throwError(() => error);
        this.#answer(fallback, exchange);
        return of(undefined);
      }),
    );
  }

  /** The kept response, or that the handler has to run; then what it sends is kept, if it may be. */
  async #resolve(
    key: string,
    directive: Exclude<RequestDirective, { kind: 'bypass' }>,
    exchange: HttpExchange,
    options: AnyOptions,
  ): Promise<Decision> {
    const found = directive.kind === 'use' ? await this.#lookUp(key, options, directive.maxAgeMs) : undefined;
    // What is there is too old for this request, though not for others.
    const use = directive.kind === 'use' && found?.state !== 'too old';
    if (found?.state === 'fresh') return { answer: found.answer };
    if (directive.kind === 'use' && directive.onlyIfCached)
      return { answer: { kept: undefined, ageMs: 0, status: 'fwd=miss; detail=only-if-cached' } };
    const stale = found?.state === 'stale' ? found : undefined;
    if (stale?.whileRenewing && this.#renewing.has(idOf(key, options))) return { answer: stale.whileRenewing };
    exchange.setHeader('Cache-Status', `${CACHE_NAME}; fwd=${use ? (stale ? 'stale' : 'miss') : 'request'}`);
    // The answer to a HEAD has no body to keep.
    if (exchange.request.method !== 'GET') return { forward: { fallback: stale?.ifError } };
    return this.#load(key, exchange, options, use, stale);
  }

  /** What is kept for the request: fresh, or stale with what it may still be used for. */
  async #lookUp(key: string, options: AnyOptions, maxAgeMs: number): Promise<Found | undefined> {
    const found = await this.#cache(options).entry<KeptResponse>(key);
    if (!found.found) return undefined;
    const { value: kept, ageMs, freshMs } = found;
    if (ageMs > maxAgeMs) return { state: 'too old' };
    if (found.state === 'fresh') return { state: 'fresh', answer: { kept, ageMs, status: 'hit' } };
    const staleMs = -freshMs;
    const stale = (windowMs: number, status: string): Answer | undefined =>
      staleMs < windowMs ? { kept, ageMs, status } : undefined;
    return {
      state: 'stale',
      whileRenewing: stale(kept.staleWhileRevalidateMs, `hit; ttl=-${Math.ceil(staleMs / 1_000)}`),
      ifError: stale(kept.staleIfErrorMs, 'fwd=stale; detail=stale-if-error'),
    };
  }

  /**
   * Makes the request that comes first the load of its key, so that those of the same moment wait for its response, and
   * one that began before a deletion is not kept. Its own response goes its own way; if it can't be shared, all run.
   */
  #load(
    key: string,
    exchange: HttpExchange,
    options: AnyOptions,
    use: boolean,
    stale: Extract<Found, { state: 'stale' }> | undefined,
  ): Promise<Decision> {
    const { maxBodyBytes = MAX_BODY_BYTES, ttlMs, tags, staleWhileRevalidateMs = 0, staleIfErrorMs = 0 } = options;
    const forward: Decision = { forward: { fallback: stale?.ifError } };
    const id = idOf(key, options);
    return new Promise((resolve) => {
      const response = (context: LoadContext<KeptResponse | undefined>): Promise<KeptResponse | undefined> =>
        new Promise((done) => {
          exchange.hideConditions();
          exchange.capture(maxBodyBytes, (sent) => {
            this.#renewing.delete(id);
            done(sent && this.#keep(sent, options, context));
          });
          this.#renewing.add(id);
          resolve(forward);
        });
      this.#cache(options)
        .getOrSet<KeptResponse | undefined>(key, response, {
          graceMs: Math.max(staleWhileRevalidateMs, staleIfErrorMs),
          // Never a stale response for a fresh one: what may be stale was decided above.
          softTimeoutMs: NEVER_SOFT_MS,
          mode: use ? 'use' : 'refresh',
          ...(ttlMs && { defaults: { ttlMs } }),
          ...(tags && { tags }),
        })
        .then(
          async (kept) => {
            const loaded = kept && (await this.#lookUp(key, options, Infinity));
            if (loaded?.state === 'fresh') resolve({ answer: loaded.answer });
            else resolve(forward);
          },
          // The other request took too long: this one tries for itself.
          () => resolve(forward),
        )
        // A client that went away sends nothing that could be captured.
        .finally(() => this.#renewing.delete(id));
    });
  }

  #keep(
    sent: SentResponse,
    options: AnyOptions,
    context: LoadContext<KeptResponse | undefined>,
  ): KeptResponse | undefined {
    const ttlMs = storableFor(sent.status, sent.headers, options);
    if (ttlMs === false) return undefined;
    if (ttlMs !== undefined) context.ttl(ttlMs);
    const headers = keptHeaders(sent.headers, options.headers);
    headers['etag'] ??= `W/"${createHash('sha256').update(sent.body).digest('base64url')}"`;
    return {
      status: sent.status,
      headers,
      body: Buffer.from(sent.body),
      ...staleWindows(sent.headers, options),
    };
  }

  #answer({ kept, ageMs, status }: Answer, exchange: HttpExchange): void {
    const { headers } = exchange.request;
    const cacheStatus = { 'Cache-Status': `${CACHE_NAME}; ${status}` };
    if (!kept) return exchange.send(504, cacheStatus, undefined);
    const own = { ...kept.headers, Age: `${Math.floor(ageMs / 1_000)}`, ...cacheStatus };
    if (matchesEtag(headers['if-none-match'], kept.headers['etag']!)) exchange.send(304, own, undefined);
    // Of what answers a HEAD, Node sends the headers alone.
    else exchange.send(kept.status, own, kept.body.length > 0 ? kept.body : undefined);
  }

  #cache({ namespace = 'http' }: AnyOptions): CacheClient {
    return this.runtime.get(CacheClient).namespace(namespace);
  }
}

function idOf(key: string, { namespace = '' }: AnyOptions): string {
  return `${namespace} ${key}`;
}

function urlOf({ request }: HttpExchange): string {
  return request.originalUrl ?? request.url ?? '/';
}
