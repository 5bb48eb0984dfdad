/** `mine`: the caller handles it now. `busy`: somebody else does. `done`: it was handled. */
export type Claim = 'mine' | 'busy' | 'done';

/** Remembers which messages were handled. A message is claimed, then done or released; a claim ends by itself. */
export interface DedupeStore {
  /** @throws {MeshConfigError} when what it needs is not installed. */
  start?(): Promise<void> | void;
  claim(key: string, leaseMs: number): Promise<Claim> | Claim;
  done(key: string, ttlMs: number): Promise<void> | void;
  release(key: string): Promise<void> | void;
  stop(): Promise<void> | void;
}
