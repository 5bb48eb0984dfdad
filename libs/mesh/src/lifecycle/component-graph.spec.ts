import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MeshComponent } from '../core/component.port.js';
import { ComponentGraph, type GraphNode, type StartWave } from './component-graph.js';
import { ComponentGraphError } from './lifecycle.errors.js';

const node = (name: string, component: Partial<MeshComponent> = {}, wave: StartWave = 'mesh'): GraphNode => ({
  component: { name, ...component },
  wave,
});

/** Nodes that only depend on earlier ones, then shuffled: every graph without a cycle looks like this. */
const acyclic = fc
  .array(fc.tuple(fc.array(fc.nat({ max: 20 })), fc.array(fc.nat({ max: 20 }))), { minLength: 1, maxLength: 20 })
  .map((edges) =>
    edges.map(([hard, soft], index) => {
      const earlier = (list: number[]) => [...new Set(list.filter((to) => to < index).map((to) => `c${to}`))];
      return node(`c${index}`, { dependsOn: earlier(hard), softDependsOn: earlier(soft) });
    }),
  )
  .chain((nodes) => fc.shuffledSubarray(nodes, { minLength: nodes.length, maxLength: nodes.length }));

describe('ComponentGraph', () => {
  it('puts every component after all that it waits for, whatever the order of registration', () => {
    fc.assert(
      fc.property(acyclic, (nodes) => {
        const graph = new ComponentGraph(nodes);
        expect([...graph.order].sort()).toEqual(nodes.map(({ component }) => component.name).sort());
        for (const name of graph.order) {
          for (const dependency of graph.dependenciesOf(name)) {
            expect(graph.order.indexOf(dependency)).toBeLessThan(graph.order.indexOf(name));
            expect(graph.dependentsOf(dependency)).toContain(name);
          }
        }
      }),
    );
  });

  it('shows the path of a cycle, and only the cycle', () => {
    const nodes = [
      node('entry', { dependsOn: ['cache'] }),
      node('cache', { dependsOn: ['broker'] }),
      node('broker', { softDependsOn: ['metrics'] }),
      node('metrics', { dependsOn: ['cache'] }),
    ];
    expect(() => new ComponentGraph(nodes)).toThrow('cache -> broker -> metrics -> cache');
  });

  it('refuses a component that waits for itself', () => {
    expect(() => new ComponentGraph([node('a', { dependsOn: ['a'] })])).toThrow('a -> a');
  });

  it('refuses any graph with a cycle', () => {
    fc.assert(
      fc.property(acyclic, fc.nat(), (nodes, seed) => {
        const names = new ComponentGraph(nodes).order;
        const from = nodes[seed % nodes.length]!;
        const first = names[0]!;
        const closing = node(first, { dependsOn: [from.component.name] });
        const last = node(from.component.name, {
          ...from.component,
          dependsOn: [...(from.component.dependsOn ?? []), first],
        });
        const cyclic = nodes.map((n) => (n === from ? last : n.component.name === first ? closing : n));
        expect(() => new ComponentGraph(cyclic)).toThrow(ComponentGraphError);
      }),
    );
  });

  it('names a missing dependency, who wants it, and what there is', () => {
    const nodes = [node('cache'), node('orders', { dependsOn: ['cache', 'chache'] })];
    expect(() => new ComponentGraph(nodes)).toThrow(
      'Component "orders" depends on "chache", which is not registered: orders -> chache (missing). Registered: cache, orders.',
    );
  });

  it('does without a soft dependency that is absent', () => {
    const graph = new ComponentGraph([node('a', { softDependsOn: ['absent'] })]);
    expect(graph.dependenciesOf('a')).toEqual([]);
  });

  it('refuses two components of one name', () => {
    expect(() => new ComponentGraph([node('a'), node('a')])).toThrow('Two components are named "a"');
  });

  it('refuses a part of the mesh that waits for a component of the application', () => {
    const nodes = [node('broker', { softDependsOn: ['ledger'] }), node('ledger', {}, 'application')];
    expect(() => new ComponentGraph(nodes)).toThrow('broker -> ledger');
  });

  it('lets a component of the application wait for a part of the mesh', () => {
    const graph = new ComponentGraph([node('ledger', { dependsOn: ['broker'] }, 'application'), node('broker')]);
    expect(graph.order).toEqual(['broker', 'ledger']);
  });
});
