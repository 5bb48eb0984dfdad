import type { z } from 'zod';
import { ConfigComposer, type ConfigInputs } from './config.composer.js';
import { InvalidConfigError } from './config.errors.js';
import type { ConfigLayer } from './config.layers.js';
import type { MisplacedOptions } from './config.problems.js';
import { ConfigStore, type ConfigStoreOptions } from './config.store.js';
import { frozen, isTree } from './config.tree.js';
import type { Environment } from './environment.source.js';
import { ConfigFile } from './file.source.js';
import type { YamlParser } from './yaml.adapter.js';

export interface LoadConfigOptions<S extends z.ZodObject> extends Omit<ConfigStoreOptions, 'file'> {
  /** The whole configuration: a strict object of sections, each with a default. */
  readonly schema: S;
  /** What `forRoot` or the factory gave. */
  readonly value: unknown;
  /** Usually `process.env`; `MESH_CONFIG_FILE` in it names the configuration file. */
  readonly env: Environment;
  readonly misplaced?: MisplacedOptions;
  /** Loads the YAML parser. @default the optional peer `yaml` */
  readonly yaml?: () => Promise<YamlParser>;
}

/**
 * Reads every source once and validates the whole.
 * @throws {InvalidConfigError} with all problems of all sources at once.
 */
export async function loadConfig<S extends z.ZodObject>(
  options: LoadConfigOptions<S>,
): Promise<ConfigStore<z.output<S>>> {
  const { schema, value, env, misplaced = {}, yaml } = options;
  const path = env['MESH_CONFIG_FILE'];
  const file = path ? new ConfigFile(path, yaml) : undefined;
  const composer = new ConfigComposer<z.output<S>>(schema, env, misplaced);
  const inputs: ConfigInputs = {
    module: moduleLayer(schema, value),
    ...(file && { file: await file.parse(await file.read()) }),
    runtime: { kind: 'runtime', tree: {} },
  };
  return new ConfigStore(composer, inputs, { ...options, file });
}

function moduleLayer(schema: z.ZodObject, value: unknown): ConfigLayer {
  if (value === undefined || value === null || typeof value !== 'object' || Array.isArray(value))
    throw new InvalidConfigError([
      {
        path: 'configuration',
        rule: 'must be an object such as { service: { name: "orders" } }',
        received: value === undefined ? 'nothing; does the factory return its options?' : typeof value,
        source: 'module options',
      },
    ]);
  // An options factory may answer with an instance of a class; only its own fields are options.
  // Frozen, and so copied: what the application does to its options later must not show at the next update.
  return { kind: 'module', tree: frozen([schema], isTree(value) ? value : { ...value }) };
}
