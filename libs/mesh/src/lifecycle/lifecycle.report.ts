import type { ComponentState } from '../core/component.port.js';
import type { ComponentView } from '../core/mesh-control.port.js';
import type { ComponentGraph, StartWave } from './component-graph.js';
import { sentenceOf } from './lifecycle.errors.js';
import type { ManagedComponent } from './managed-component.js';

/** What became of one component. */
export interface ComponentReport extends ComponentView {
  readonly wave: StartWave;
}

export function componentReport(managed: ManagedComponent, graph: ComponentGraph): ComponentReport {
  const { component, name, startMs, stopMs, wait, error } = managed;
  const dependsOn = component.dependsOn ?? [];
  return {
    name,
    wave: managed.wave,
    criticality: managed.required ? 'required' : 'optional',
    state: managed.state,
    dependsOn,
    softDependsOn: graph.dependenciesOf(name).filter((dependency) => !dependsOn.includes(dependency)),
    ...(startMs !== undefined && { startMs }),
    ...wait,
    ...(stopMs !== undefined && { stopMs }),
    attempts: managed.attempts,
    ...(error !== undefined && { reason: sentenceOf(error) }),
  };
}

const FILL: Partial<Record<ComponentState, string>> = {
  running: 'palegreen',
  degraded: 'khaki',
  failed: 'lightcoral',
  stopped: 'lightgrey',
};

export function graphDot(components: readonly ComponentReport[]): string {
  const lines = components.flatMap(({ name, state, startMs, dependsOn, softDependsOn }) => [
    `  ${quote(name)} [label=${quote(startMs === undefined ? name : `${name}\n${Math.round(startMs)} ms`)}, fillcolor=${FILL[state] ?? 'white'}];`,
    ...dependsOn.map((dependency) => `  ${quote(name)} -> ${quote(dependency)};`),
    ...softDependsOn.map((dependency) => `  ${quote(name)} -> ${quote(dependency)} [style=dashed];`),
  ]);
  return ['digraph mesh {', '  rankdir=LR;', '  node [shape=box, style=filled];', ...lines, '}', ''].join('\n');
}

/** A DOT string: only the double quote needs escaping; a line break is written as `\n`. */
function quote(text: string): string {
  return `"${text.replaceAll('"', String.raw`\"`).replaceAll('\n', String.raw`\n`)}"`;
}
