import type { HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import type { CallContexts } from '../core/call-context.js';
import type { Tracer } from '../core/trace-context.js';
import { ComponentExplorer } from './component.explorer.js';
import { HttpIntake } from './http.intake.js';
import { JobIntake } from './job.intake.js';
import { LifecycleManager, type LifecycleDependencies } from './lifecycle.manager.js';
import { MeshLifecycle } from './mesh-lifecycle.js';
import { runsInKubernetes, terminationListeners } from './process.port.js';
import { RpcIntake } from './rpc.intake.js';
import { ShutdownSequence } from './shutdown.sequence.js';

export interface LifecycleRoomDependencies extends LifecycleDependencies {
  readonly contexts: CallContexts;
  readonly adapterHost: HttpAdapterHost;
  readonly modules: ModulesContainer;
  /** The application's own tracing, whose spans requests arrive in. */
  readonly tracer?: Tracer | undefined;
}

export interface LifecycleRoom {
  readonly lifecycle: MeshLifecycle;
  readonly intake: HttpIntake;
  readonly jobs: JobIntake;
}

/** The room's parts, joined. The intake is installed: call it while the application is being constructed. */
export function buildLifecycle(deps: LifecycleRoomDependencies): LifecycleRoom {
  const { clock, events, contexts, ids, adapterHost, tracer } = deps;
  const manager = new LifecycleManager(deps);
  const sequence = new ShutdownSequence({ ...deps, manager, inKubernetes: runsInKubernetes() });
  const intake = new HttpIntake({ contexts, clock, ids, events, tracer });
  intake.install(adapterHost);
  sequence.addDrainable(intake);
  const rpc = new RpcIntake(deps);
  rpc.install(deps.modules);
  sequence.addDrainable(rpc);
  const jobs = new JobIntake(deps);
  sequence.addDrainable(jobs);
  const explorer = new ComponentExplorer(deps.modules);
  const declared = () => explorer.explore();
  const lifecycle = new MeshLifecycle({ manager, sequence, clock, contexts, events, declared, terminationListeners });
  return { lifecycle, intake, jobs };
}
