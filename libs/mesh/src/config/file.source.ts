import { readFile } from 'node:fs/promises';
import { InvalidConfigError } from './config.errors.js';
import type { ConfigLayer } from './config.layers.js';
import { isTree } from './config.tree.js';
import { readJson } from './json.text.js';
import { importYaml, type YamlParser } from './yaml.adapter.js';

/** Reads the configuration file. */
export class ConfigFile {
  constructor(
    readonly path: string,
    private readonly yaml: () => Promise<YamlParser> = importYaml,
  ) {}

  /** The file's text. @throws {InvalidConfigError} when it can't be read. */
  async read(): Promise<string> {
    try {
      // Some editors put a byte order mark in front, which is no part of the text.
      return (await readFile(this.path, 'utf8')).replace(/^\uFEFF/, '');
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? String(error);
      throw this.#invalid(`must be a file that can be read, and reading it failed with ${reason}`);
    }
  }

  /** @throws {InvalidConfigError} when the text is not an object in the format that the file's name promises. */
  async parse(text: string): Promise<ConfigLayer> {
    const tree = await this.#parse(text);
    if (!isTree(tree)) throw this.#invalid('must hold an object at the top');
    // Tells editors where the JSON Schema is, and is no option.
    const { $schema: _, ...options } = tree;
    return { kind: 'file', name: this.path, tree: options };
  }

  async #parse(text: string): Promise<unknown> {
    if (!/\.ya?ml$/i.test(this.path)) {
      const json = readJson(text);
      if ('broken' in json) throw this.#invalid(`must be valid JSON, and ${json.broken}`);
      return json.value;
    }
    // Outside the try block: that the package is missing is no fault of the text.
    const { parse } = await this.yaml();
    try {
      return parse(text) as unknown;
    } catch (error) {
      throw this.#invalid(`must be valid YAML${placeOf(error)}`);
    }
  }

  #invalid(rule: string): InvalidConfigError {
    return new InvalidConfigError([{ path: 'MESH_CONFIG_FILE', rule, source: `file ${this.path}` }]);
  }
}

/** Where the parser stopped; the rest of its message quotes the text, which may hold a secret. */
function placeOf(error: unknown): string {
  const place = /line \d+,? column \d+/.exec(String(error))?.[0];
  return place === undefined ? '' : `, and is not at ${place}`;
}
