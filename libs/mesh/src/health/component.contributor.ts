import type { MeshComponent } from '../core/component.port.js';
import type { HealthContributor } from '../core/health.port.js';

/** Makes a component's own check a contributor; `undefined` for a component that has none. */
export function fromComponent(component: MeshComponent): HealthContributor | undefined {
  if (!component.check) return undefined;
  const timeoutMs = component.timeouts?.checkMs;
  return {
    name: component.name,
    ...(timeoutMs !== undefined && { timeoutMs }),
    check: (context) => component.check?.(context),
  };
}
