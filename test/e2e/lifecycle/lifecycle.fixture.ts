import { CallContexts } from '../../../libs/mesh/src/core/call-context.js';
import type { MeshComponent } from '../../../libs/mesh/src/core/component.port.js';
import { SystemIds } from '../../../libs/mesh/src/core/ids.js';
import { fixedOptions } from '../../../libs/mesh/src/core/live-options.js';
import { MeshEvents, type MeshEventMap } from '../../../libs/mesh/src/core/mesh.events.js';
import { VirtualClock } from '../../../libs/mesh/src/testing/virtual-clock.js';
import { LifecycleManager } from '../../../libs/mesh/src/lifecycle/lifecycle.manager.js';
import { lifecycleSchema, type LifecycleOptions } from '../../../libs/mesh/src/lifecycle/lifecycle.options.js';
import { MeshLifecycle } from '../../../libs/mesh/src/lifecycle/mesh-lifecycle.js';
import { ShutdownSequence } from '../../../libs/mesh/src/lifecycle/shutdown.sequence.js';

/** Jitter without chance: always the middle of its range. */
class FixedIds extends SystemIds {
  override random(): number {
    return 0.5;
  }
}

type Step = 'start' | 'drain' | 'stop';

/** What a step of a test's component does: takes so long, hangs until its signal aborts or for ever, or throws. */
export type Behaviour = number | 'hang' | 'hang-deaf' | Error;

/** The lifecycle of one application on a virtual clock, with a journal of what happened when. */
export class LifecycleBench {
  readonly clock = new VirtualClock();
  readonly contexts = new CallContexts();
  readonly events = new MeshEvents();
  readonly journal: string[] = [];
  readonly options: LifecycleOptions;
  readonly manager: LifecycleManager;
  readonly sequence: ShutdownSequence;
  readonly lifecycle: MeshLifecycle;
  readonly declared: MeshComponent[] = [];

  constructor(options: object = {}, { inKubernetes = false, terminationListeners = 1 } = {}) {
    this.options = lifecycleSchema.parse(options);
    const live = fixedOptions(this.options);
    const { clock, events } = this;
    this.manager = new LifecycleManager({ options: live, clock, events, ids: new FixedIds() });
    this.sequence = new ShutdownSequence({ options: live, clock, events, manager: this.manager, inKubernetes });
    this.lifecycle = new MeshLifecycle({
      manager: this.manager,
      sequence: this.sequence,
      clock,
      contexts: this.contexts,
      events,
      declared: () => this.declared,
      terminationListeners: () => terminationListeners,
    });
  }

  note(what: string): void {
    this.journal.push(`${this.clock.monotonic()} ${what}`);
  }

  /** Notes events of one name under the text that `say` gives. */
  noteEvents<N extends keyof MeshEventMap>(name: N, say: (event: MeshEventMap[N]) => string): void {
    this.events.on(name, (event) => this.note(say(event)));
  }

  /** A component whose steps behave as told and are noted as `start a`, `started a`. */
  component(
    name: string,
    behaviour: Partial<Record<Step, Behaviour>> = {},
    declared: Partial<MeshComponent> = {},
  ): MeshComponent {
    const run = async (step: Step, signal: AbortSignal): Promise<void> => {
      this.note(`${step} ${name}`);
      const what = behaviour[step] ?? 0;
      if (what instanceof Error) throw what;
      if (what === 'hang-deaf') await new Promise<never>(() => undefined);
      else if (what === 'hang')
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      else if (what > 0) await this.clock.sleep(what, signal);
      this.note(`${step}ed ${name}`);
    };
    return {
      name,
      start: ({ signal }) => run('start', signal),
      ...(behaviour.drain !== undefined && { drain: ({ signal }) => run('drain', signal) }),
      stop: ({ signal }) => run('stop', signal),
      ...declared,
    };
  }
}
