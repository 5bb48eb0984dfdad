import { type CallHandler, type ExecutionContext, Inject, Injectable, type NestInterceptor } from '@nestjs/common';
import { createHash } from 'node:crypto';
import { from, type Observable, of, switchMap } from 'rxjs';
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
  storableFor,
} from './http-cache.rules.js';
import { HttpExchange, type SentResponse } from './http-exchange.js';

/** A response as it is kept. */
interface KeptResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** What to send; without a response, that there is none. */
interface Answer {
  readonly kept: KeptResponse | undefined;
  readonly ageMs: number;
}

type AnyOptions = HttpCacheOptions<unknown>;

const MAX_BODY_BYTES = 1_024 * 1_024;
/** The name of this cache in `Cache-Status`. @see RFC 9211 */
const CACHE_NAME = 'nestjs-mesh';

/** Serves what `@HttpCache` says. */
@Injectable()
export class HttpCacheInterceptor implements NestInterceptor {
  constructor(@Inject(MESH_RUNTIME) private readonly runtime: MeshRuntime) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const options = Reflect.getMetadata(HTTP_CACHE_OPTIONS, context.getHandler()) as AnyOptions | undefined;
    if (!options || context.getType() !== 'http') return next.handle();
    const http = context.switchToHttp();
    const exchange = new HttpExchange(http.getRequest(), http.getResponse());
    const { method = 'GET', headers } = exchange.request;

    const directive = requestDirective(method, headers, options);
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
      switchMap((answer) => {
        if (answer === 'forward') return next.handle();
        this.#answer(answer, exchange);
        return of(undefined);
      }),
    );
  }

  /** The kept response, or `forward` when the handler has to run; then what it sends is kept, if it may be. */
  async #resolve(
    key: string,
    directive: Exclude<RequestDirective, { kind: 'bypass' }>,
    exchange: HttpExchange,
    options: AnyOptions,
  ): Promise<Answer | 'forward'> {
    const use = directive.kind === 'use';
    if (use) {
      const found = await this.#cache(options).entry<KeptResponse>(key);
      if (found.found && found.state === 'fresh' && found.ageMs <= directive.maxAgeMs)
        return { kept: found.value, ageMs: found.ageMs };
      if (directive.onlyIfCached) return { kept: undefined, ageMs: 0 };
    }
    exchange.setHeader('Cache-Status', `${CACHE_NAME}; fwd=${use ? 'miss' : 'request'}`);
    // The answer to a HEAD has no body to keep.
    return exchange.request.method === 'GET' ? this.#load(key, exchange, options, use) : 'forward';
  }

  /**
   * Makes the request that comes first the load of its key, so that those of the same moment wait for its response, and
   * one that began before a deletion is not kept. Its own response goes its own way; if it can't be shared, all run.
   */
  #load(key: string, exchange: HttpExchange, options: AnyOptions, use: boolean): Promise<Answer | 'forward'> {
    const { maxBodyBytes = MAX_BODY_BYTES, ttlMs, tags } = options;
    return new Promise((resolve) => {
      const response = (context: LoadContext<KeptResponse | undefined>): Promise<KeptResponse | undefined> =>
        new Promise((done) => {
          exchange.capture(maxBodyBytes, (sent) => done(sent && this.#keep(sent, options, context)));
          resolve('forward');
        });
      this.#cache(options)
        .getOrSet<KeptResponse | undefined>(key, response, {
          graceMs: 0,
          mode: use ? 'use' : 'refresh',
          ...(ttlMs && { ttlMs }),
          ...(tags && { tags }),
        })
        .then(
          (kept) => resolve(kept ? { kept, ageMs: 0 } : 'forward'),
          // The other request took too long: this one tries for itself.
          () => resolve('forward'),
        );
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
    return { status: sent.status, headers, body: Buffer.from(sent.body) };
  }

  #answer({ kept, ageMs }: Answer, exchange: HttpExchange): void {
    const { method, headers } = exchange.request;
    if (!kept)
      return exchange.send(504, { 'Cache-Status': `${CACHE_NAME}; fwd=miss; detail=only-if-cached` }, undefined);
    const own = { ...kept.headers, Age: `${Math.floor(ageMs / 1_000)}`, 'Cache-Status': `${CACHE_NAME}; hit` };
    if (matchesEtag(headers['if-none-match'], kept.headers['etag']!)) exchange.send(304, own, undefined);
    else exchange.send(kept.status, own, method === 'HEAD' ? undefined : kept.body);
  }

  #cache({ namespace = 'http' }: AnyOptions): CacheClient {
    return this.runtime.get(CacheClient).namespace(namespace);
  }
}

function urlOf({ request }: HttpExchange): string {
  return request.originalUrl ?? request.url ?? '/';
}
