import { MetadataScanner, type ModulesContainer } from '@nestjs/core';
import { CallContexts } from '../core/call-context.js';
import {
  adviseMethod,
  AdviceStage,
  type DecoratedMethod,
  type Invocation,
  type MethodAdvice,
} from '../core/method-advice.js';
import type { MeshRuntime } from '../core/mesh-runtime.js';
import { JobIntake } from './job.intake.js';

/** What `@Cron`, `@Interval` and `@Timeout` of @nestjs/schedule leave on their methods; the package itself is not needed. */
const SCHEDULER_TYPE = 'SCHEDULER_TYPE';

/**
 * Makes each run of a method under `@Cron`, `@Interval` or `@Timeout` a job. Call it before @nestjs/schedule looks for
 * these methods, and before the decorated methods of the application are bound.
 */
export function adviseScheduledMethods(modules: ModulesContainer): void {
  const scanner = new MetadataScanner();
  for (const { providers, controllers } of modules.values()) {
    for (const { instance } of [...providers.values(), ...controllers.values()]) {
      if (typeof instance !== 'object' || instance === null) continue;
      const prototype = Object.getPrototypeOf(instance) as object | null;
      if (!prototype) continue;
      for (const name of scanner.getAllMethodNames(prototype)) advise(prototype, name);
    }
  }
}

function advise(prototype: object, name: string): void {
  const owner = ownerOf(prototype, name);
  const descriptor = owner && Object.getOwnPropertyDescriptor(owner, name);
  if (!owner || typeof descriptor?.value !== 'function' || !Reflect.hasMetadata(SCHEDULER_TYPE, descriptor.value))
    return;
  adviseMethod(owner, name, descriptor, ScheduledMethod.KIND, () => new ScheduledMethod());
  Object.defineProperty(owner, name, descriptor);
}

function ownerOf(prototype: object, name: string): object | undefined {
  for (let p: object | null = prototype; p; p = Object.getPrototypeOf(p) as object | null)
    if (Object.hasOwn(p, name)) return p;
  return undefined;
}

class ScheduledMethod implements MethodAdvice {
  static readonly KIND = 'scheduled';
  readonly kind = ScheduledMethod.KIND;
  readonly stage = AdviceStage.context;

  bind(next: Invocation, method: DecoratedMethod, runtime: MeshRuntime): Invocation {
    const jobs = runtime.get(JobIntake);
    const contexts = runtime.get(CallContexts);
    const name = `${method.owner.name}.${method.name}`;
    return (self, args) => {
      // Called by other code in its own work, it is a part of that.
      if (contexts.current()) return next(self, args);
      // The scheduler's timers stop later than the intake does, and would only log the refusal.
      if (jobs.stopped) return undefined;
      return jobs.run(name, () => next(self, args));
    };
  }
}
