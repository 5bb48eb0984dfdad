import { MeshError } from '../core/mesh.error.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import { reasonOf } from '../core/message-of.js';

/** One thing that is wrong with the configuration. Holds no secret: it is logged and goes out on the wire. */
export interface ConfigProblem {
  /** Where: `resilience.policies["payments.charge"].timeoutMs`, or the environment variable when it leads nowhere. */
  readonly path: string;
  /** What must hold: `must be at least 1`. */
  readonly rule: string;
  /** What was there, masked and shortened. */
  readonly received?: string;
  /** The valid path or value that was most likely meant. */
  readonly nearest?: string;
  /** Where it came from: `module options`, `file config.yaml`, `environment MESH_CACHE__TTL_MS`, `runtime ops`. */
  readonly source?: string;
}

/** The configuration is invalid; everything that is wrong with it at once. */
export class InvalidConfigError extends MeshConfigError {
  constructor(problems: readonly ConfigProblem[]) {
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    super(`The configuration is invalid (${count}):\n${problems.map((problem) => `  ${textOf(problem)}`).join('\n')}`, {
      problems,
    });
  }

  get problems(): readonly ConfigProblem[] {
    return this.details!.problems as readonly ConfigProblem[];
  }
}

function textOf({ path, rule, received, nearest, source }: ConfigProblem): string {
  return [
    `${path}: ${rule}`,
    received === undefined ? '' : `, received ${received}`,
    nearest === undefined ? '' : `; did you mean ${nearest}?`,
    source === undefined ? '' : ` (from ${source})`,
  ].join('');
}

/** The update was made for a generation that is no longer in force. Read the configuration again and decide anew. */
export class StaleConfigError extends MeshError {
  constructor(expected: number, generation: number) {
    super(
      `The configuration was refused: it was made for generation ${expected}, and generation ${generation} is in force. ` +
        'Read it again, then repeat the update with the new generation.',
      { code: 'MESH_CONFIG_STALE', status: 409, details: { expected, generation } },
    );
  }
}

/** The update holds options that only take effect when the process starts; nothing of it was applied. */
export class RestartRequiredError extends MeshError {
  constructor(paths: readonly string[]) {
    super(
      `The update was refused as a whole: ${paths.join(', ')} can't change while the service runs. ` +
        'Leave it out of the update, or set it in the configuration file or the environment and restart.',
      { code: 'MESH_CONFIG_RESTART_REQUIRED', status: 409, details: { paths } },
    );
  }
}

/** A component could not take the new configuration; the previous one is in force. */
export class ConfigRefusedError extends MeshError {
  constructor(
    readonly culprit: string,
    readonly phase: 'check' | 'prepare' | 'commit',
    cause: unknown,
  ) {
    const what = phase === 'check' ? "can't take it" : `failed to ${phase} it`;
    super(`The update was refused: ${culprit} ${what}: ${reasonOf(cause)}. Nothing has changed.`, {
      code: 'MESH_CONFIG_REFUSED',
      status: 409,
      details: { culprit, phase },
      cause,
    });
  }
}

/** The service got worse under the new configuration, so that the previous one was put back. */
export class ConfigRolledBackError extends MeshError {
  constructor(culprit: string, reason: string, failures: readonly unknown[]) {
    const leftovers = failures.length === 0 ? '' : ` Cleaning up failed as well: ${failures.map(reasonOf).join('; ')}.`;
    super(
      `The update was rolled back: ${culprit} went down under it (${reason}). The previous values are in force.${leftovers}`,
      {
        code: 'MESH_CONFIG_ROLLED_BACK',
        status: 409,
        details: { culprit, reason },
        ...(failures.length > 0 && { cause: new AggregateError(failures) }),
      },
    );
  }
}

/** A generation was asked for that the history does not hold (any more). */
export class UnknownGenerationError extends MeshError {
  constructor(generation: number, known: readonly number[]) {
    super(`There is no generation ${generation} to roll back to; the history holds ${known.join(', ')}.`, {
      code: 'MESH_CONFIG_UNKNOWN_GENERATION',
      status: 404,
      details: { generation, known },
    });
  }
}
