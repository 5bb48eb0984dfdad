import { formatPath, type ConfigPath } from './config.path.js';
import { isTree } from './config.tree.js';

/** The sources of a value, weakest first. */
export type ConfigSourceKind = 'default' | 'module' | 'file' | 'environment' | 'runtime';

/** What one source says: a part of the whole tree. */
export interface ConfigLayer {
  readonly kind: ConfigSourceKind;
  /** Which one: the file's path, the update's source. */
  readonly name?: string;
  readonly tree: unknown;
  /** Names of single values that have one of their own, such as environment variables, by their path. */
  readonly names?: ReadonlyMap<string, string>;
}

/** The name of a layer for people, or of the one value of it that stands at `path` or above. */
export function sourceOf(layer: ConfigLayer, path: ConfigPath): string {
  const kind = layer.kind === 'module' ? 'module options' : layer.kind;
  for (let length = path.length; length > 0; length--) {
    const name = layer.names?.get(formatPath(path.slice(0, length)));
    if (name !== undefined) return `${kind} ${name}`;
  }
  return layer.name === undefined ? kind : `${kind} ${layer.name}`;
}

/** Whether the layer decides the value at `path`: it has a value there, or one above that leaves no room for others. */
export function decides(layer: ConfigLayer, path: ConfigPath): boolean {
  let value = layer.tree;
  for (const segment of path) {
    if (value === undefined) return false;
    if (!isTree(value)) return true;
    value = Object.hasOwn(value, segment) ? value[segment] : undefined;
  }
  return value !== undefined;
}

/** The strongest layer that decides the value at `path`; layers come weakest first. */
export function layerOf(layers: readonly ConfigLayer[], path: ConfigPath): ConfigLayer | undefined {
  return layers.findLast((layer) => decides(layer, path));
}
