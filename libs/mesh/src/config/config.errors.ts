import { MeshConfigError } from '../core/mesh.errors.js';

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
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    super(`The configuration is invalid (${count}):\n${problems.map((problem) => `  ${textOf(problem)}`).join('\n')}`, {
      problems,
    });
    this.problems = problems;
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
