import type { ConfigGenerationView } from '../core/mesh-control.port.js';
import type { ConfigInputs } from './config.composer.js';
import { UnknownGenerationError } from './config.errors.js';

export type ConfigGeneration = ConfigGenerationView;

const LIMIT = 20;

/** The latest generations and what they were made of. */
export class ConfigHistory {
  #entries: { readonly entry: ConfigGeneration; readonly inputs: ConfigInputs }[] = [];

  /** Newest first. */
  get entries(): readonly ConfigGeneration[] {
    return this.#entries.map(({ entry }) => entry);
  }

  add(entry: ConfigGeneration, inputs: ConfigInputs): void {
    this.#entries = [{ entry: Object.freeze(entry), inputs }, ...this.#entries].slice(0, LIMIT);
  }

  /** Notes that the newest generation has the same values by other inputs: a value set to what it already was. */
  amend(inputs: ConfigInputs): void {
    const [newest, ...older] = this.#entries;
    if (newest) this.#entries = [{ ...newest, inputs }, ...older];
  }

  /** @throws {UnknownGenerationError} */
  inputsOf(generation: number): ConfigInputs {
    const found = this.#entries.find(({ entry }) => entry.generation === generation);
    if (found) return found.inputs;
    throw new UnknownGenerationError(generation, this.#entries.map(({ entry }) => entry.generation).toReversed());
  }
}
