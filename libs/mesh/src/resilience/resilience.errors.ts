import { MeshError } from '../core/mesh.error.js';

const circuit = (policy: string, key: string | undefined): string =>
  key === undefined ? `Circuit "${policy}"` : `Circuit "${policy}" of key "${key}"`;

/** The breaker is open or its probes are taken: the function did not run. */
export class CircuitOpenError extends MeshError {
  constructor(
    readonly policy: string,
    retryAfterMs: number,
    readonly key?: string,
  ) {
    super(`${circuit(policy, key)} is open for another ${Math.ceil(retryAfterMs)} ms; the function was not called.`, {
      code: 'MESH_CIRCUIT_OPEN',
      status: 503,
      retryable: true,
      retryAfterMs,
      details: { policy },
    });
  }
}

/** An operator holds the breaker open: the function did not run. */
export class CircuitIsolatedError extends MeshError {
  constructor(
    readonly policy: string,
    reason: string,
    retryAfterMs?: number,
    readonly key?: string,
  ) {
    const until = retryAfterMs === undefined ? 'until it is released' : `for another ${Math.ceil(retryAfterMs)} ms`;
    super(`${circuit(policy, key)} is isolated by an operator ${until}: ${reason}.`, {
      code: 'MESH_CIRCUIT_ISOLATED',
      status: 503,
      retryable: true,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      details: { policy },
    });
  }
}

/** All slots of the bulkhead are taken and its queue is full, or the wait for a slot was too long. */
export class BulkheadFullError extends MeshError {
  constructor(
    readonly policy: string,
    reason: string,
  ) {
    super(`Bulkhead "${policy}" refused the call: ${reason}. Raise maxConcurrent or maxQueued, or shed load earlier.`, {
      code: 'MESH_BULKHEAD_FULL',
      status: 503,
      retryable: true,
      retryAfterMs: 1_000,
      details: { policy },
    });
  }
}

/** The policy's own rate limit has no token left. */
export class RateLimitedError extends MeshError {
  constructor(
    readonly policy: string,
    retryAfterMs: number,
  ) {
    super(`Rate limit "${policy}" is used up; the next call is allowed in ${Math.ceil(retryAfterMs)} ms.`, {
      code: 'MESH_RATE_LIMITED',
      status: 503,
      retryable: true,
      retryAfterMs,
      details: { policy },
    });
  }
}

/** One attempt took longer than `timeoutMs`. The function may still run: pass it the attempt's signal. */
export class AttemptTimeoutError extends MeshError {
  constructor(
    readonly policy: string,
    timeoutMs: number,
  ) {
    super(`Policy "${policy}" gave up on an attempt after ${Math.ceil(timeoutMs)} ms (timeoutMs).`, {
      code: 'MESH_ATTEMPT_TIMEOUT',
      status: 504,
      retryable: true,
      details: { policy, timeoutMs },
    });
  }
}

/** The whole call took longer than `totalTimeoutMs` or than the deadline it inherited allowed. */
export class DeadlineExceededError extends MeshError {
  constructor(
    readonly policy: string,
    what: string,
  ) {
    super(`Policy "${policy}" ran out of time: ${what}.`, {
      code: 'MESH_DEADLINE_EXCEEDED',
      status: 504,
      details: { policy },
    });
  }
}

/** A fault was injected in the place of the callee: the function did not run. */
export class InjectedFaultError extends MeshError {
  constructor(
    readonly policy: string,
    /** Who asked for the fault, and until when. */
    origin: string,
  ) {
    super(`A fault was injected into policy "${policy}" by ${origin}; the function was not called.`, {
      code: 'MESH_FAULT_INJECTED',
      status: 503,
      retryable: true,
      details: { policy },
    });
  }
}

/** The caller gave up by its own signal, whose reason is the `cause`. */
export class CancelledError extends MeshError {
  constructor(
    readonly policy: string,
    cause?: unknown,
  ) {
    super(`A call through policy "${policy}" was cancelled by its caller.`, {
      code: 'MESH_CANCELLED',
      status: 499,
      details: { policy },
      cause,
    });
  }
}
