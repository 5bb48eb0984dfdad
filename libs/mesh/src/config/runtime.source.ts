import type { ConfigLayer } from './config.layers.js';
import { formatPath, type ConfigPath } from './config.path.js';
import { childrenOf, isStructured, type ConfigSchema } from './config.schema.js';
import { frozen, isTree, mergePatch, type Tree } from './config.tree.js';

/** The runtime layer with one more patch in it; each of its values is known by the source that set it last. */
export function patchedLayer(schema: ConfigSchema, layer: ConfigLayer, patch: Tree, source: string): ConfigLayer {
  const names = new Map(layer.names);
  for (const path of leavesOf([schema], patch, [])) names.set(formatPath(path), source);
  // Frozen, and so copied: what the caller does to the patch later must not show at the next update.
  return { kind: 'runtime', tree: frozen([schema], mergePatch([schema], layer.tree, patch)), names };
}

function* leavesOf(schemas: readonly ConfigSchema[], patch: unknown, path: ConfigPath): Generator<ConfigPath> {
  if (!isTree(patch) || !schemas.some(isStructured)) return yield path;
  for (const key of Object.keys(patch)) {
    const children = schemas.flatMap((schema) => childrenOf(schema, key));
    yield* leavesOf(children, patch[key], [...path, key]);
  }
}
