import { nearest } from '../config/nearest.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import { contradictionsWithin, impossibleCombinations } from './policy-checks.js';
import { LayeredPolicy, type PolicyLayer } from './policy-layers.js';
import { PolicyUses } from './policy-uses.js';
import type { PolicyDeclaration, PolicyOptions, ResilienceOptions } from './resilience.options.js';

/** What code declared under a name. */
export interface Declared {
  readonly declaration: PolicyDeclaration;
  /** As `ChargeService.charge`. */
  readonly origin: string;
}

/**
 * Finds the layers of a policy in one version of the options. The exact name in configuration wins over the declaration,
 * that over the longest matching pattern, that over the defaults; `extends` puts a group below the layer that names it.
 */
export class PolicyResolver {
  readonly #patterns: readonly { readonly pattern: string; readonly regex: RegExp }[];

  constructor(
    private readonly options: ResilienceOptions,
    private readonly declared: ReadonlyMap<string, Declared>,
    private readonly uses: PolicyUses = new PolicyUses(),
  ) {
    this.#patterns = Object.keys(options.policies)
      .filter((name) => name.includes('*'))
      .sort((a, b) => b.length - a.length)
      .map((pattern) => ({ pattern, regex: toRegex(pattern) }));
  }

  /** Whether configuration knows the name, exactly or by a pattern. */
  knows(name: string): boolean {
    return this.#exact(name) !== undefined || this.patternOf(name) !== undefined;
  }

  patternOf(name: string): string | undefined {
    return this.#patterns.find(({ regex }) => regex.test(name))?.pattern;
  }

  isExact(name: string): boolean {
    return this.#exact(name) !== undefined;
  }

  /**
   * What is wrong with the configuration of one policy or pattern. Code may still declare what it extends, so a parent
   * that nobody knows yet is no problem here; {@link resolve} says so later.
   */
  problemsOf(name: string): string[] {
    try {
      this.resolve(name);
    } catch (error) {
      if (!(error instanceof MeshConfigError)) throw error;
      if (error.details?.['unknownParent'] === undefined) return [error.message];
    }
    return [];
  }

  /** @throws {MeshConfigError} when the values can't work together, or `extends` names nothing or goes in a circle. */
  resolve(name: string, declared?: Declared): LayeredPolicy {
    const layers: PolicyLayer[] = [
      { source: 'defaults', values: this.options.defaults, at: ['defaults'] },
      ...this.#layersOf(name, declared, []),
    ];
    const layered = new LayeredPolicy(layers);
    const problems = [
      ...layers.flatMap(({ source, values }) => contradictionsWithin(values).map((text) => `${source}: ${text}`)),
      ...impossibleCombinations(layered, {
        notIdempotent: declared?.declaration.idempotent === false ? declared.origin : this.uses.notIdempotent(name),
        retryAskedBy: layers.findLast(({ own, values }) => own && values.retry !== undefined)?.source,
      }),
    ];
    if (problems.length > 0) throw new MeshConfigError(`Policy "${name}" can't work: ${problems.join(' ')}`, { name });
    return layered;
  }

  /** The error for a name that nothing matches. */
  unknown(name: string, declaredNames: Iterable<string>): MeshConfigError {
    const meant = nearest(name, [...Object.keys(this.options.policies), ...declaredNames]);
    return new MeshConfigError(
      `Policy "${name}" is neither configured (resilience.policies), nor matched by a pattern, nor declared in code` +
        (meant === undefined ? '.' : `; did you mean "${meant}"?`),
      { name },
    );
  }

  #exact(name: string): PolicyOptions | undefined {
    const { policies } = this.options;
    return Object.hasOwn(policies, name) ? policies[name] : undefined;
  }

  /** What patterns, code and configuration say of one name, the later the stronger. */
  #layersOf(name: string, declared: Declared | undefined, seen: readonly string[]): PolicyLayer[] {
    const pattern = this.patternOf(name);
    const exact = this.#exact(name);
    const own = seen.length === 0;
    return [
      ...(pattern === undefined
        ? []
        : this.#expand(
            { source: `pattern "${pattern}"`, values: this.options.policies[pattern]!, at: ['policies', pattern] },
            seen,
          )),
      ...(declared
        ? this.#expand({ source: `declared by ${declared.origin}`, values: declared.declaration, own }, seen)
        : []),
      ...(exact
        ? this.#expand({ source: `policies["${name}"]`, values: exact, own, at: ['policies', name] }, seen)
        : []),
    ];
  }

  /** The layer on top of those that it extends. */
  #expand(layer: PolicyLayer, seen: readonly string[]): PolicyLayer[] {
    const { source, values } = layer;
    const parent = values.extends;
    if (parent === undefined) return [layer];
    if (seen.includes(parent))
      throw new MeshConfigError(`${source} extends itself: ${[...seen, parent].join(' -> ')}.`);
    const path = [...seen, parent];
    const group = Object.hasOwn(this.options.groups, parent) ? this.options.groups[parent] : undefined;
    const below = group
      ? this.#expand({ source: `group "${parent}"`, values: group, at: ['groups', parent] }, path)
      : this.#layersOf(parent, this.declared.get(parent), path);
    if (below.length > 0) return [...below, layer];

    const { groups, policies } = this.options;
    const meant = nearest(parent, [...Object.keys(groups), ...Object.keys(policies), ...this.declared.keys()]);
    throw new MeshConfigError(
      `${source} extends "${parent}", which is neither a group nor a policy` +
        (meant === undefined ? '.' : `; did you mean "${meant}"?`),
      { unknownParent: parent },
    );
  }
}

function toRegex(pattern: string): RegExp {
  const literal = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${literal.join('.*')}$`);
}
