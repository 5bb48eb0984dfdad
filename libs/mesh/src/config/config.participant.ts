import type { LeafChange } from './config.diff.js';

/** What an update asks of a participant. */
export interface ParticipantChange<T = unknown> {
  readonly next: T;
  readonly previous: T;
  /** The changes that touch the participant's paths. */
  readonly changes: readonly LeafChange[];
  /** Aborts when preparing takes too long or the store closes. */
  readonly signal: AbortSignal;
}

/**
 * A component with a say in updates: it may refuse what the schema can't know to be impossible, and it is rebuilt when
 * options of class `swap` change. An update is checked and prepared by all participants, in the order in which they
 * joined, before any commits; so each joins after those it depends on.
 */
export interface ConfigParticipant<T = unknown> {
  /** Stands in errors and events. */
  readonly name: string;
  /** The parts of the configuration that concern it: `broker`, `cache.redis`. */
  readonly paths: readonly string[];
  /** Which changes `prepare` is asked about: those of class `swap`, or all. @default 'swap' */
  readonly prepares?: 'swap' | 'all';
  /** How long `prepare` may take, in milliseconds. @default 15_000 */
  readonly timeoutMs?: number;
  /** Looks at any change of its parts, live ones and dry runs included, and changes nothing. Throws to refuse. */
  check?(change: Omit<ParticipantChange<T>, 'signal'>): void;
  /** Makes everything ready - starts the new client, checks it - without letting it be seen. Throws to refuse. */
  prepare?(change: ParticipantChange<T>): Promise<PreparedChange> | PreparedChange;
}

/** A change that waits for its word. Either `settle` or `discard` is called in the end, once. */
export interface PreparedChange {
  /** Switches over. Synchronous, like `revert`: no call sees a part of an update. A throw takes the update back. */
  commit(): void;
  /** Switches back after `commit`, also after one that threw. */
  revert(): void;
  /** The update stands: let go of what was replaced, such as draining and closing the old client. */
  settle?(): Promise<void> | void;
  /** The update does not stand: let go of what was prepared. */
  discard?(): Promise<void> | void;
}

/** Calls back when something that the service needs goes down. Returns the function that stops watching. */
export type HealthWatch = (onDown: (culprit: string, reason: string) => void) => () => void;
