import { watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock, Timer } from '../core/clock.js';
import type { ConfigStore } from './config.store.js';

/** Several events announce one change; the file is read when they have been silent for so long. */
const SETTLE_MS = 100;
/** What the operating system does not announce (network file systems, links into other folders) is found by looking. */
const LOOK_EVERY_MS = 10_000;

/** Calls back when anything in a folder changes. Returns the function that stops watching. */
export type FolderWatch = (folder: string, onEvent: () => void) => () => void;

/**
 * Applies the configuration file whenever what it says has changed, however it was replaced: written over, renamed
 * over, or by the swap of a link above it, as Kubernetes does with a ConfigMap. A bad version is refused with a
 * `config.rejected` event and the last good one stays; watching goes on. Without a configuration file it does nothing.
 */
export class ConfigFileWatcher {
  #stopWatching: (() => void) | undefined;
  #settling: Timer | undefined;
  #looking: Timer | undefined;
  #lastSeen: string | undefined;
  #look: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: Pick<ConfigStore, 'file' | 'reloadFile'>,
    private readonly clock: Clock,
    private readonly watchFolder: FolderWatch = watchFolderByEvents,
  ) {}

  /** Watches from now on, and applies what changed since the file was loaded. */
  start(): void {
    if (!this.store.file || this.#looking) return;
    // The folder, not the file: a watch on the file would stay with the one that was replaced.
    this.#stopWatching = this.watchFolder(dirname(this.store.file.path), () => this.#lookSoon());
    this.#lookSoon();
    this.#lookRegularly();
  }

  /** Looks no more. An update that is under way is the store's: `store.close()` waits for it. */
  stop(): void {
    this.#stopWatching?.();
    this.#settling?.cancel();
    this.#looking?.cancel();
    this.#stopWatching = this.#settling = this.#looking = undefined;
  }

  /** Resolves when the looks that were due are over, with the updates that came of them. */
  idle(): Promise<void> {
    return this.#look;
  }

  #lookSoon(): void {
    this.#settling?.cancel();
    this.#settling = this.clock.setTimer(() => this.#lookNext(), SETTLE_MS);
  }

  #lookRegularly(): void {
    this.#looking = this.clock.setTimer(() => {
      this.#lookNext();
      this.#lookRegularly();
    }, LOOK_EVERY_MS);
  }

  /** One after the other, because an update may take as long as the health watch after it. */
  #lookNext(): void {
    this.#look = this.#look.then(() => this.#applyIfChanged());
  }

  async #applyIfChanged(): Promise<void> {
    // That the file can't be read is a state like any other: told when it begins, not at each look.
    const seen = await this.store.file!.read().catch(String);
    if (seen === this.#lastSeen || !this.#looking) return;
    this.#lastSeen = seen;
    await this.store.reloadFile().catch(() => undefined); // The store has told why in its event.
  }
}

/** Where the operating system can't watch - too many watches, a folder that goes away - looking regularly has to do. */
function watchFolderByEvents(folder: string, onEvent: () => void): () => void {
  try {
    const watcher = watch(folder, { persistent: false }, onEvent);
    watcher.on('error', () => watcher.close());
    return () => watcher.close();
  } catch {
    return () => undefined;
  }
}
