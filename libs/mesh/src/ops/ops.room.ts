import type { Clock } from '../core/clock.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MeshControl } from '../core/mesh-control.port.js';
import type { MeshEventMap, MeshEvents } from '../core/mesh.events.js';
import type { RawRoute } from '../core/raw-route.js';
import { EventFeed } from './event-feed.js';
import { EventJournal } from './event-journal.js';
import { OpsAccess, type OpsGuard } from './ops.access.js';
import { opsEndpoints } from './ops.endpoints.js';
import type { OpsOptions } from './ops.options.js';
import { opsRoute } from './ops.route.js';

export interface OpsRoomDeps {
  readonly control: MeshControl;
  readonly events: MeshEvents;
  readonly clock: Clock;
  readonly guard?: OpsGuard | undefined;
}

/** The operators' endpoints, joined: what they show and do comes in as one {@link MeshControl}. */
export class OpsRoom {
  /** Covers everything below `ops.path`. */
  readonly route: RawRoute;
  readonly #journal: EventJournal;
  readonly #feed: EventFeed;
  readonly #unsubscribe: () => void;

  constructor(options: LiveOptions<OpsOptions>, { control, events, clock, guard }: OpsRoomDeps) {
    const journal = (this.#journal = new EventJournal(events, clock));
    const feed = (this.#feed = new EventFeed(journal, clock));
    const endpoints = opsEndpoints({ control, journal, feed });
    this.route = opsRoute(options.current.path, {
      endpoints,
      access: new OpsAccess(options, { clock, events, guard }),
      events,
    });
    // After the journal, so that the last event of each stream says why it ends.
    this.#unsubscribe = events.onAny((name, event) => {
      if (name === 'lifecycle.phase' && isLeaving(event as MeshEventMap['lifecycle.phase'])) feed.close();
    });
  }

  /** Ends the streams and keeps no more events. */
  stop(): void {
    this.#unsubscribe();
    this.#feed.close();
    this.#journal.stop();
  }
}

/** Whether the endpoints are there: as configured, else wherever the process does not run in production. */
export function isOpsEnabled({ enabled }: OpsOptions, nodeEnv: string | undefined): boolean {
  return enabled ?? nodeEnv !== 'production';
}

function isLeaving({ phase }: MeshEventMap['lifecycle.phase']): boolean {
  return phase !== 'starting' && phase !== 'ready';
}
