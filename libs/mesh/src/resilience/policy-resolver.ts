import { nearest } from '../config/nearest.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import { contradictionsWithin, impossibleCombinations } from './policy-checks.js';
import { LayeredPolicy, type PolicyLayer } from './policy-layers.js';
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

  constructor(private readonly options: ResilienceOptions) {
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

  /** @throws {MeshConfigError} when the values can't work together, or `extends` names nothing or goes in a circle. */
  resolve(name: string, declared?: Declared): LayeredPolicy {
    const { defaults, policies } = this.options;
    const pattern = this.patternOf(name);
    const exact = this.#exact(name);
    const layers: PolicyLayer[] = [
      { source: 'defaults', values: defaults },
      ...(pattern === undefined ? [] : this.#expand(`pattern "${pattern}"`, policies[pattern]!)),
      ...(declared ? this.#expand(`declared by ${declared.origin}`, declared.declaration) : []),
      ...(exact ? this.#expand(`policies["${name}"]`, exact) : []),
    ];
    const layered = new LayeredPolicy(layers);
    const problems = [
      ...layers.flatMap(({ source, values }) => contradictionsWithin(values).map((text) => `${source}: ${text}`)),
      ...impossibleCombinations(layered, declared?.declaration),
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

  #expand(source: string, values: PolicyOptions | PolicyDeclaration): PolicyLayer[] {
    const layers: PolicyLayer[] = [{ source, values }];
    const seen: string[] = [];
    for (let parent = values.extends; parent !== undefined; parent = layers[0]!.values.extends) {
      if (seen.includes(parent))
        throw new MeshConfigError(`${source} extends itself: ${[...seen, parent].join(' -> ')}.`);
      seen.push(parent);
      const group = this.options.groups[parent] ?? this.#exact(parent);
      if (!group) {
        const meant = nearest(parent, [...Object.keys(this.options.groups), ...Object.keys(this.options.policies)]);
        throw new MeshConfigError(
          `${source} extends "${parent}", which is neither a group nor a policy` +
            (meant === undefined ? '.' : `; did you mean "${meant}"?`),
        );
      }
      layers.unshift({ source: `${parent in this.options.groups ? 'group' : 'policy'} "${parent}"`, values: group });
    }
    return layers;
  }
}

function toRegex(pattern: string): RegExp {
  const literal = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${literal.join('.*')}$`);
}
