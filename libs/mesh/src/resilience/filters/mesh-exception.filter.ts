import { type ArgumentsHost, Catch, HttpException, Injectable, Optional } from '@nestjs/common';
import { BaseExceptionFilter, HttpAdapterHost } from '@nestjs/core';
import { type Observable, throwError } from 'rxjs';
import { noteFailure } from '../../core/http-observer.port.js';
import { isInProcess } from '../../core/in-process.js';
import { isMeshError, type MeshError } from '../../core/mesh.error.js';
import { ServiceInfo } from '../../core/service-info.js';
import { isRetryableAbove, toGrpc, toWire } from './remote.error.js';

/** `Mesh-Retryable: false` tells the caller that this failure was retried already, a tier below. */
export const NO_RETRY_HEADER = 'Mesh-Retryable';

/**
 * Answers with what a mesh error knows and Nest's own filters leave out: `Retry-After` over HTTP, code and
 * retryability over a transport, and the error itself for a caller in this process.
 *
 * Every other error gets exactly what Nest does without this filter. It catches all of them only because the callers in
 * this process are owed their original error, whatever its class.
 */
@Catch()
@Injectable()
export class MeshExceptionFilter extends BaseExceptionFilter {
  protected override readonly httpAdapterHost: HttpAdapterHost;
  readonly #service: ServiceInfo | undefined;

  constructor(httpAdapterHost: HttpAdapterHost, @Optional() service?: ServiceInfo) {
    super();
    this.httpAdapterHost = httpAdapterHost;
    this.#service = service;
  }

  /** What is returned goes out over a transport; `undefined` leaves the error to Nest. */
  override catch(exception: unknown, host: ArgumentsHost): Observable<never> | undefined {
    const type = host.getType<string>();
    if (type === 'rpc') return this.#answerRpc(exception, host);
    if (type === 'http') this.#answerHttp(exception, host);
    return undefined;
  }

  #answerHttp(exception: unknown, host: ArgumentsHost): void {
    const known = isMeshError(exception);
    const response: unknown = host.getArgByIndex(1);
    const { httpAdapter } = this.httpAdapterHost;
    const header = (name: string, value: string): void => void httpAdapter.setHeader(response, name, value);
    if (!httpAdapter.isHeadersSent(response)) {
      if (known && exception.retryAfterMs !== undefined)
        header('Retry-After', retryAfterSeconds(exception.retryAfterMs));
      if (isMeshError(exception, 'MESH_DRAINING')) header('Connection', 'close');
      if (!isRetryableAbove(exception)) header(NO_RETRY_HEADER, 'false');
    }
    if (known && typeof response === 'object' && response !== null) noteFailure(response, exception);
    super.catch(known ? asHttpException(exception) : exception, host);
  }

  #answerRpc(exception: unknown, host: ArgumentsHost): Observable<never> | undefined {
    const context: unknown = host.switchToRpc().getContext();
    if (isInProcess(context)) return throwError(() => exception);
    if (!isMeshError(exception)) return undefined;
    const wire = toWire(exception, this.#service?.name);
    return throwError(() => (isGrpc(host) ? toGrpc(wire) : wire));
  }
}

function retryAfterSeconds(retryAfterMs: number): string {
  return String(Math.max(1, Math.ceil(retryAfterMs / 1_000)));
}

/** An error of another copy of this package may stand on another copy of Nest's `HttpException`. */
function asHttpException(error: MeshError): HttpException {
  const known: unknown = error;
  return known instanceof HttpException ? known : new HttpException(error.getResponse(), error.getStatus());
}

/** Nest hands a gRPC handler the call itself as the third argument. */
function isGrpc(host: ArgumentsHost): boolean {
  const call: unknown = host.getArgByIndex(2);
  return typeof (call as { getPeer?: unknown } | undefined)?.getPeer === 'function';
}
