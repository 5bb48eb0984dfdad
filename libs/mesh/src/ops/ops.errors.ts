import { MeshError } from '../core/mesh.error.js';

/** No token, or the wrong one. */
export class OpsUnauthorizedError extends MeshError {
  constructor() {
    // Spelled as the header is, it would be taken for one, and masked.
    super('Send a token of this service in the header "Authorization", after the word "Bearer".', {
      code: 'MESH_OPS_UNAUTHORIZED',
      status: 401,
    });
  }
}

/** Too many wrong tokens came from this address; for a while no token from there is looked at. */
export class OpsLockedOutError extends MeshError {
  constructor(retryAfterMs: number) {
    super('Too many wrong tokens came from this address; none is looked at for now.', {
      code: 'MESH_OPS_LOCKED_OUT',
      status: 429,
      retryable: true,
      retryAfterMs,
    });
  }
}

/** Known, or local, and still not allowed to do this. */
export class OpsForbiddenError extends MeshError {
  constructor(reason: string) {
    super(reason, { code: 'MESH_OPS_FORBIDDEN', status: 403 });
  }
}

/** There is no endpoint, breaker or option of that name. */
export class OpsNotFoundError extends MeshError {
  constructor(what: string) {
    super(what, { code: 'MESH_OPS_NOT_FOUND', status: 404 });
  }
}

/** The request can't be understood; `details.problems` has everything that is wrong with it. */
export class OpsBadRequestError extends MeshError {
  constructor(problems: readonly string[], status: 400 | 405 | 413 = 400) {
    super(problems.join('; '), { code: 'MESH_OPS_BAD_REQUEST', status, details: { problems } });
  }
}

/** All event streams are taken, or the service is about to stop. */
export class OpsStreamRefusedError extends MeshError {
  constructor(reason: string) {
    super(reason, { code: 'MESH_OPS_STREAM_REFUSED', status: 503, retryable: true, retryAfterMs: 1_000 });
  }
}

/** It can't be done in this application, as it is set up. */
export class OpsConflictError extends MeshError {
  constructor(reason: string) {
    super(reason, { code: 'MESH_OPS_CONFLICT', status: 409 });
  }
}
