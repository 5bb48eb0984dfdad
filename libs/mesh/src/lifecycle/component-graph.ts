import type { MeshComponent } from '../core/component.port.js';
import { ComponentGraphError } from './lifecycle.errors.js';

/**
 * When a component starts. `mesh`: the mesh's own parts and what replaces them, before any hook of the user's code.
 * `application`: the user's components, after every `onModuleInit`.
 */
export type StartWave = 'mesh' | 'application';

export interface GraphNode {
  readonly component: MeshComponent;
  readonly wave: StartWave;
}

/** The order of the components: who waits for whom. Valid by construction. */
export class ComponentGraph {
  /** Every component after all that it waits for; equal ones in the order of registration. */
  readonly order: readonly string[];
  readonly #nodes: ReadonlyMap<string, GraphNode>;
  readonly #dependents = new Map<string, string[]>();

  /** @throws {ComponentGraphError} naming the path, when there is no such order. */
  constructor(nodes: readonly GraphNode[]) {
    this.#nodes = byName(nodes);
    for (const node of nodes) this.#refuseMissing(node);
    this.order = this.#sort();
    for (const name of this.order) {
      for (const dependency of this.dependenciesOf(name)) {
        const dependents = this.#dependents.get(dependency) ?? [];
        this.#dependents.set(dependency, dependents);
        dependents.push(name);
      }
    }
  }

  /** What the component waits for at start: hard dependencies, and the soft ones that are there. */
  dependenciesOf(name: string): readonly string[] {
    const { component } = this.#nodes.get(name)!;
    const soft = (component.softDependsOn ?? []).filter((dependency) => this.#nodes.has(dependency));
    return [...new Set([...(component.dependsOn ?? []), ...soft])];
  }

  /** Who must have stopped before the component may. */
  dependentsOf(name: string): readonly string[] {
    return this.#dependents.get(name) ?? [];
  }

  #refuseMissing({ component, wave }: GraphNode): void {
    for (const dependency of component.dependsOn ?? []) {
      if (this.#nodes.has(dependency)) continue;
      throw new ComponentGraphError(
        `Component "${component.name}" depends on "${dependency}", which is not registered: ` +
          `${component.name} -> ${dependency} (missing). Registered: ${[...this.#nodes.keys()].join(', ')}. ` +
          'Register it, or use softDependsOn if it may be absent.',
        { component: component.name, missing: dependency },
      );
    }
    if (wave === 'application') return;
    for (const dependency of [...(component.dependsOn ?? []), ...(component.softDependsOn ?? [])]) {
      if (this.#nodes.get(dependency)?.wave !== 'application') continue;
      throw new ComponentGraphError(
        `Component "${component.name}" is a part of the mesh and can't wait for "${dependency}", which starts later, ` +
          `with the application: ${component.name} -> ${dependency}.`,
        { component: component.name, dependency },
      );
    }
  }

  #sort(): string[] {
    const order: string[] = [];
    const done = new Set<string>();
    const path: string[] = [];
    const visit = (name: string): void => {
      if (done.has(name)) return;
      const from = path.indexOf(name);
      if (from >= 0) {
        const cycle = [...path.slice(from), name];
        throw new ComponentGraphError(
          `Components wait for each other in a cycle: ${cycle.join(' -> ')}. Remove one of these dependencies.`,
          { cycle },
        );
      }
      path.push(name);
      for (const dependency of this.dependenciesOf(name)) visit(dependency);
      path.pop();
      done.add(name);
      order.push(name);
    };
    for (const name of this.#nodes.keys()) visit(name);
    return order;
  }
}

function byName(nodes: readonly GraphNode[]): Map<string, GraphNode> {
  const named = new Map<string, GraphNode>();
  for (const node of nodes) {
    const { name } = node.component;
    if (named.has(name))
      throw new ComponentGraphError(
        `Two components are named "${name}" (${classOf(named.get(name)!)} and ${classOf(node)}). Names are unique: rename one.`,
        { component: name },
      );
    named.set(name, node);
  }
  return named;
}

function classOf({ component }: GraphNode): string {
  return (component as object).constructor?.name ?? 'an object';
}
