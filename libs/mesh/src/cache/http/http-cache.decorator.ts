import { applyDecorators, SetMetadata, UseInterceptors } from '@nestjs/common';
import type { IncomingMessage } from 'node:http';
import { MeshConfigError } from '../../core/mesh.errors.js';
import { checkedName, checkTimes } from '../usage-checks.js';
import { HttpCacheInterceptor } from './http-cache.interceptor.js';
import { HTTP_CACHE_OPTIONS, type HttpCacheOptions } from './http-cache.options.js';

/**
 * Answers GET and HEAD of the route from the cache, as a shared HTTP cache would: guards still run, credentials go past
 * unless `scope` says otherwise, `Cache-Control`, `Vary`, `ETag` and `Age` are honoured. What is kept are the bytes that
 * were sent, after every interceptor and serializer. On Express and Fastify.
 * @see RFC 9111, RFC 9211
 */
export function HttpCache<R = IncomingMessage>(options: HttpCacheOptions<R> = {}): MethodDecorator {
  if ((options.scope === 'private') !== (options.principal !== undefined))
    throw new MeshConfigError("@HttpCache: scope 'private' and principal belong together: whose answer is it?");
  checkTimes('@HttpCache', options);
  for (const tag of options.tags ?? []) checkedName('tag', tag);
  return applyDecorators(SetMetadata(HTTP_CACHE_OPTIONS, options), UseInterceptors(HttpCacheInterceptor));
}
