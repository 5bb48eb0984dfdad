import { z } from 'zod';
import type { ConfigOptionView } from '../core/mesh-control.port.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { Composition } from './config.composer.js';
import { decides, sourceOf } from './config.layers.js';
import { displayed } from './config.mask.js';
import { formatPath, parsePath, type ConfigPath } from './config.path.js';
import { isStructured, lookUp, pathsOf, type ConfigSchema } from './config.schema.js';
import { isTree, valueAt, without } from './config.tree.js';
import { nearest } from './nearest.js';

export type ConfigExplanation = ConfigOptionView;

/**
 * Explains the options whose values come together by a room's own rules, as a policy's from its pattern; `given` says what
 * the sources of the configuration say at one path. `undefined` leaves the option to the configuration.
 */
export type ConfigExplainer = (
  path: ConfigPath,
  given: (path: ConfigPath) => ConfigExplanation,
) => ConfigExplanation | undefined;

/** @throws {MeshConfigError} when the text leads to no option, or to a section of several. */
export function explain<T>(
  schema: ConfigSchema,
  composition: Composition<T>,
  text: string,
  explainer?: ConfigExplainer,
): ConfigExplanation {
  const path = parsePath(text);
  const derived = path && explainer?.(path, (each) => explainLeaf(schema, composition, each));
  if (derived) return derived;
  const known = new Map([...pathsOf([schema], composition.value)].map((each) => [formatPath(each), each]));
  const found = path && known.get(formatPath(path));
  if (!found) {
    const meant = nearest(text, known.keys());
    throw new MeshConfigError(`There is no option "${text}"${meant === undefined ? '' : `; did you mean "${meant}"?`}`);
  }
  const value = valueAt(composition.value, found);
  if (isTree(value) && lookUp(schema, found).schemas.some(isStructured)) {
    const keys = Object.keys(value).join(', ') || 'nothing yet';
    throw new MeshConfigError(`"${text}" is a section; ask for one of its options: ${keys}.`);
  }
  return explainLeaf(schema, composition, found);
}

/** Every option that has a value. */
export function explainAll<T>(schema: ConfigSchema, composition: Composition<T>): ConfigExplanation[] {
  return [...pathsOf([schema], composition.value)]
    .filter((path) => {
      const value = valueAt(composition.value, path);
      return value !== undefined && !(isTree(value) && lookUp(schema, path).schemas.some(isStructured));
    })
    .map((path) => explainLeaf(schema, composition, path));
}

function explainLeaf<T>(schema: ConfigSchema, composition: Composition<T>, path: ConfigPath): ConfigExplanation {
  const { schemas, secret, update } = lookUp(schema, path);
  const show = (value: unknown): unknown => displayed(schemas, value, secret);
  const given = composition.layers
    .filter((layer) => decides(layer, path))
    .map((layer) => ({ source: sourceOf(layer, path), value: show(valueAt(layer.tree, path)) }))
    .toReversed();

  const byDefault = z.safeParse(schema, without(composition.merged, path));
  const defaultValue = byDefault.success ? valueAt(byDefault.data, path) : undefined;
  if (defaultValue !== undefined) given.push({ source: 'default', value: show(defaultValue) });
  const [winner, ...overrode] = given;
  return {
    path: formatPath(path),
    value: show(valueAt(composition.value, path)),
    source: winner?.source ?? 'default',
    update,
    overrode,
  };
}
