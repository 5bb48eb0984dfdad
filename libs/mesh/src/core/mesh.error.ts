import { inspect, type InspectOptions } from 'node:util';
import { HttpException } from '@nestjs/common';

const BRAND = Symbol.for('nestjs-mesh.error');

/** What Nest keeps in an error, and says the same again. */
const KEPT_BY_NEST = new Set(['response', 'options', 'status', 'errorCode']);

export interface MeshErrorOptions {
  /** Machine-readable, `MESH_` and upper case; every code has a heading in docs/errors.md. */
  readonly code: string;
  /** The HTTP status that the error answers with. @default 500 */
  readonly status?: number;
  /** Whether the same call may succeed later or elsewhere. @default false */
  readonly retryable?: boolean;
  /** After how many milliseconds a retry makes sense; becomes `Retry-After`. */
  readonly retryAfterMs?: number;
  /** What went wrong in values: names, numbers, outcome. Goes out on the wire, so never a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/**
 * The root of every error of the mesh.
 *
 * It extends Nest's `HttpException`, so that a host's own catch-all filter still answers with the right status. The
 * response body is `{ statusCode, code, message, retryable, retryAfterMs?, details? }`.
 */
export class MeshError extends HttpException {
  readonly code: string;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(message: string, options: MeshErrorOptions) {
    const { code, status = 500, retryable = false, details, cause } = options;
    // Whole milliseconds, rounded up: a caller that comes back a fraction early is refused once more.
    const retryAfterMs = options.retryAfterMs === undefined ? undefined : Math.ceil(options.retryAfterMs);
    super(
      {
        statusCode: status,
        code,
        message,
        retryable,
        ...(retryAfterMs === undefined ? undefined : { retryAfterMs }),
        ...(details === undefined ? undefined : { details }),
      },
      status,
      cause === undefined ? {} : { cause },
    );
    this.code = code;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
    this.details = details;
  }

  /** Printed, each thing stands once. */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const shown: PropertyDescriptorMap = { stack: { value: this.stack }, [inspect.custom]: {} };
    if (this.cause !== undefined) shown.cause = { value: this.cause };
    for (const [name, value] of Object.entries(this))
      if (value !== undefined && !KEPT_BY_NEST.has(name)) shown[name] ??= { value, enumerable: true };
    return inspect(Object.create(Object.getPrototypeOf(this) as object, shown), options);
  }

  /** True for every mesh error, also for one that another copy of this package made. */
  get [BRAND](): true {
    return true;
  }
}

/** Whether `error` is an error of the mesh (and has `code`, when one is given). Works across two copies of the package. */
export function isMeshError(error: unknown, code?: string): error is MeshError {
  return (
    typeof error === 'object' &&
    error !== null &&
    BRAND in error &&
    (code === undefined || (error as MeshError).code === code)
  );
}
