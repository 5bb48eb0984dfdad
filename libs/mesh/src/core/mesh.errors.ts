import { MeshError } from './mesh.error.js';

/** The configuration, a decorator or the module's wiring is wrong: the application must not start like this. */
export class MeshConfigError extends MeshError {
  constructor(message: string, details?: Readonly<Record<string, unknown>>) {
    super(message, { code: 'MESH_CONFIG_INVALID', ...(details && { details }) });
    // It ends the process as a rule, and Node prints all that it has: the message has said it.
    for (const name of ['response', 'options', 'details']) Object.defineProperty(this, name, { enumerable: false });
  }
}

/** The service is shutting down and takes no new work; another instance will. */
export class DrainingError extends MeshError {
  /** Nothing has left: the work may be given to another instance, whether it is idempotent or not. */
  readonly sent = false;

  constructor(what: string) {
    super(`${what} was refused: this instance is shutting down; try another instance.`, {
      code: 'MESH_DRAINING',
      status: 503,
      retryable: true,
      retryAfterMs: 1_000,
    });
  }
}
