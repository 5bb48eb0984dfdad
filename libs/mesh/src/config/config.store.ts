import type { LiveOptions } from '../core/live-options.js';
import { SettableOptions } from '../core/live-options.js';
import type { Composition, ConfigComposer, ConfigInputs } from './config.composer.js';
import type { ConfigFile } from './file.source.js';

/** The validated configuration of one application. */
export class ConfigStore<T extends object> {
  #current: Composition<T>;
  readonly #sections = new Map<keyof T, SettableOptions<unknown>>();

  constructor(
    composer: ConfigComposer<T>,
    inputs: ConfigInputs,
    readonly file?: ConfigFile,
  ) {
    this.#current = composer.compose(inputs);
  }

  /** The whole configuration as it is now; frozen, replaced as a whole by an update. */
  get snapshot(): T {
    return this.#current.value;
  }

  /** One room's part, following updates. */
  section<K extends keyof T>(key: K): LiveOptions<T[K]> {
    let section = this.#sections.get(key);
    if (!section) this.#sections.set(key, (section = new SettableOptions<unknown>(this.#current.value[key])));
    return section as SettableOptions<T[K]>;
  }
}
