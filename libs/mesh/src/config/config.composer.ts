import type { z } from 'zod';
import { InvalidConfigError, type ConfigProblem } from './config.errors.js';
import { ProblemReport, type MisplacedOptions } from './config.problems.js';
import { childrenOf, isStructured, type ConfigSchema } from './config.schema.js';
import { frozen, isTree, merge, reuse } from './config.tree.js';
import { formatPath, type ConfigPath } from './config.path.js';
import { sourceOf, type ConfigLayer } from './config.layers.js';
import { readEnvironment, type Environment } from './environment.source.js';

/** What can change from one generation to the next: everything but the environment and the defaults. */
export interface ConfigInputs {
  readonly module: ConfigLayer;
  readonly file?: ConfigLayer;
  readonly runtime: ConfigLayer;
}

/** One valid configuration and what it came from. */
export interface Composition<T> {
  readonly inputs: ConfigInputs;
  /** Weakest first; without the defaults, which stand in the schema. */
  readonly layers: readonly ConfigLayer[];
  /** The layers merged, before defaults. */
  readonly merged: unknown;
  /** Validated, with defaults, frozen. */
  readonly value: T;
}

/** Makes one validated value out of all sources. Pure: the same inputs give the same value, at boot as at any update. */
export class ConfigComposer<T> {
  readonly #environment: Environment;
  readonly #report: ProblemReport;

  constructor(
    readonly schema: z.ZodType,
    environment: Environment,
    misplaced: MisplacedOptions,
  ) {
    // A copy: what the process does to its environment later changes nothing here.
    this.#environment = { ...environment };
    this.#report = new ProblemReport(schema, misplaced);
  }

  /**
   * What is the same in `previous` keeps its identity.
   * @throws {InvalidConfigError} with all problems at once.
   */
  compose(inputs: ConfigInputs, previous?: T): Composition<T> {
    const { module, file, runtime } = inputs;
    const given = file ? [module, file] : [module];
    const environment = readEnvironment(this.schema, this.#environment, this.#merge(given));
    const layers = [...given, environment.layer, runtime];
    const merged = this.#merge(layers);
    const parsed = this.schema.safeParse(merged);

    const problems: ConfigProblem[] = layers.flatMap((layer) => reservedNames(this.schema, layer));
    problems.push(...environment.problems);
    if (parsed.error) problems.push(...this.#report.of(parsed.error.issues, merged, layers));
    if (problems.length > 0 || !parsed.success) throw new InvalidConfigError(problems);
    const value = reuse([this.schema], previous, frozen([this.schema], parsed.data)) as T;
    return { inputs, layers, merged, value };
  }

  #merge(layers: readonly ConfigLayer[]): unknown {
    return layers.reduce<unknown>((below, { tree }) => merge([this.schema], below, tree), {});
  }
}

/** zod leaves out names that would reach an object's prototype, without a word; here they are an error. */
function reservedNames(schema: ConfigSchema, layer: ConfigLayer): ConfigProblem[] {
  const found: ConfigProblem[] = [];
  const visit = (value: unknown, schemas: readonly ConfigSchema[], path: ConfigPath): void => {
    // What the schema does not take apart is the caller's, and may refer to itself.
    if (!isTree(value) || !schemas.some(isStructured)) return;
    for (const [key, inner] of Object.entries(value)) {
      const here = [...path, key];
      if (key === '__proto__')
        found.push({ path: formatPath(here), rule: 'is a name that is not allowed', source: sourceOf(layer, here) });
      else
        visit(
          inner,
          schemas.flatMap((one) => childrenOf(one, key)),
          here,
        );
    }
  };
  visit(layer.tree, [schema], []);
  return found;
}
