import { MeshError } from '../core/mesh.error.js';
import { reasonOf } from '../core/message-of.js';

/** A part can't take the place of the one in use, which stays. */
export class ReplacementRefusedError extends MeshError {
  constructor(part: string, phase: 'start' | 'check' | 'prepare', { next, current, cause }: Refusal) {
    const what = { start: 'failed to start', check: 'is not well', prepare: 'could not take over' }[phase];
    super(`The ${part} was not replaced: ${next} ${what}: ${reasonOf(cause)}. ${current} stays in use.`, {
      code: 'MESH_REPLACEMENT_REFUSED',
      status: 409,
      details: { part, phase },
      cause,
    });
  }
}

interface Refusal {
  /** Names of the two classes. */
  readonly next: string;
  readonly current: string;
  readonly cause: unknown;
}
