import { MeshError } from '../core/mesh.error.js';
import { messageOf } from '../core/message-of.js';

/** The components can't be put in an order: a name twice, a cycle, a dependency that does not exist. */
export class ComponentGraphError extends MeshError {
  constructor(message: string, details: Readonly<Record<string, unknown>>) {
    super(message, { code: 'MESH_COMPONENT_GRAPH', details });
  }
}

/** A required component did not start, so the application does not either. Everything that had started was stopped again. */
export class ComponentStartError extends MeshError {
  constructor(component: string, elapsedMs: number, cause: unknown) {
    super(
      `Component "${component}" failed in phase "start" after ${Math.round(elapsedMs)} ms: ${sentenceOf(cause)} ` +
        "What had started was stopped again. Fix the cause; a component of your own can also be declared `criticality: 'optional'`.",
      { code: 'MESH_COMPONENT_START', cause, details: { component, phase: 'start', elapsedMs } },
    );
  }
}

/** The start was called off: a signal or a call asked the application to shut down before it was ready. */
export class StartAbortedError extends MeshError {
  constructor(reason: string) {
    super(`The start was called off: ${reason}. What had started was stopped again.`, {
      code: 'MESH_START_ABORTED',
      status: 503,
      details: { reason },
    });
  }
}

/** A step of the lifecycle took longer than it may. */
export class StepTimeoutError extends MeshError {
  constructor(what: string, timeoutMs: number) {
    super(`The ${what} was not done within its ${timeoutMs} ms.`, {
      code: 'MESH_LIFECYCLE_TIMEOUT',
      details: { what, timeoutMs },
    });
  }
}

/** With a full stop. */
export function sentenceOf(error: unknown): string {
  const message = messageOf(error);
  return /[.!?]$/.test(message) ? message : `${message}.`;
}
