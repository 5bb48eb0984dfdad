import type { PolicyDeclaration } from '../resilience.options.js';
import type { CallFacts } from './method-policy.js';

const CLASS_POLICY = Symbol('nestjs-mesh.class-policy');

/** What `@Resilient` on a class says for the decorated methods in it. */
export interface ClassPolicy extends Pick<CallFacts, 'key' | 'idempotent'> {
  readonly policy: string;
  /** Absent when the class only refers to a policy by name. */
  readonly declaration: PolicyDeclaration | undefined;
  /** The class that carries the decorator. */
  readonly origin: string;
}

export function setClassPolicy(type: object, policy: ClassPolicy): void {
  Reflect.defineMetadata(CLASS_POLICY, policy, type);
}

/** Of the class itself, or of the nearest class that it extends. */
export function classPolicyOf(type: object): ClassPolicy | undefined {
  return Reflect.getMetadata(CLASS_POLICY, type) as ClassPolicy | undefined;
}
