import { SystemClock, type Clock } from '../core/clock.js';
import { SettableOptions, type LiveOptions, type OptionsChange } from '../core/live-options.js';
import { MeshError } from '../core/mesh.error.js';
import { DrainingError } from '../core/mesh.errors.js';
import type { ConfigCommand, ConfigOutcome } from '../core/mesh-control.port.js';
import { MeshEvents, type ConfigChange } from '../core/mesh.events.js';
import { messageOf } from '../core/message-of.js';
import type { Composition, ConfigComposer, ConfigInputs } from './config.composer.js';
import { diff, displayedChange, type LeafChange } from './config.diff.js';
import { ConfigRolledBackError, InvalidConfigError, RestartRequiredError, StaleConfigError } from './config.errors.js';
import { explain, explainAll, type ConfigExplainer, type ConfigExplanation } from './config.explanation.js';
import { ConfigHistory, type ConfigGeneration } from './config.history.js';
import { configJsonSchema } from './config.json-schema.js';
import type { ConfigLayer } from './config.layers.js';
import type { ConfigParticipant, HealthWatch } from './config.participant.js';
import { formatPath } from './config.path.js';
import { concerns, ConfigTransaction } from './config.transaction.js';
import { isTree } from './config.tree.js';
import type { ConfigFile } from './file.source.js';
import { HealthWindow, type Downfall } from './health-window.js';
import { patchedLayer } from './runtime.source.js';

export type UpdateOptions = ConfigCommand;

export interface UpdateResult extends ConfigOutcome {
  /** What failed while replaced components were let go; the update itself stands. */
  readonly leftovers: readonly unknown[];
}

/** What a store stands on. */
export interface ConfigStoreOptions {
  readonly clock?: Clock;
  readonly events?: MeshEvents;
  /** The configuration file, when there is one. */
  readonly file?: ConfigFile | undefined;
}

const HEALTH_WINDOW_MS = 5_000;

/**
 * The validated configuration of one application: a frozen snapshot with a generation, changed as a whole or not at all.
 *
 * Updates run one after the other. Each is merged, validated with everything else, compared leaf by leaf, prepared by
 * the components that it concerns, committed in one synchronous step, and watched for a while before it stands.
 */
export class ConfigStore<T extends object = object> {
  /** Where the configuration file is, when there is one. */
  readonly file: ConfigFile | undefined;
  readonly #clock: Clock;
  readonly #events: MeshEvents;
  readonly #snapshot: SettableOptions<T>;
  readonly #sections = new Map<keyof T, SettableOptions<T[keyof T]>>();
  readonly #participants = new Set<ConfigParticipant<T>>();
  readonly #history = new ConfigHistory();
  readonly #closing = new AbortController();
  #composition: Composition<T>;
  #generation = 1;
  #lastUpdate: Promise<unknown> = Promise.resolve();
  #watchHealth: HealthWatch | undefined;
  #explainer: ConfigExplainer | undefined;

  constructor(
    private readonly composer: ConfigComposer<T>,
    inputs: ConfigInputs,
    options: ConfigStoreOptions = {},
  ) {
    this.#clock = options.clock ?? new SystemClock();
    this.file = options.file;
    this.#events = options.events ?? new MeshEvents();
    this.#composition = composer.compose(inputs);
    this.#snapshot = new SettableOptions(this.#composition.value);
    this.#history.add({ generation: 1, at: this.#clock.now(), source: 'boot', changes: [] }, inputs);
  }

  /** The whole configuration as it is now: frozen, and replaced as a whole by an update. */
  get snapshot(): T {
    return this.#snapshot.current;
  }

  /** 1 at boot; each accepted update and each roll-back adds 1. */
  get generation(): number {
    return this.#generation;
  }

  /** The latest 20 generations, newest first. */
  get history(): readonly ConfigGeneration[] {
    return this.#history.entries;
  }

  /** One section, following updates. What does not change in it keeps its identity. */
  section<K extends keyof T>(key: K): LiveOptions<T[K]> {
    let section = this.#sections.get(key) as SettableOptions<T[K]> | undefined;
    if (!section) {
      section = new SettableOptions(this.snapshot[key]);
      this.#sections.set(key, section as unknown as SettableOptions<T[keyof T]>);
    }
    return section;
  }

  /**
   * Why the option at `path` (`resilience.policies["payments.charge"].timeoutMs`) has its value.
   * @throws {MeshConfigError} when there is no such option.
   */
  explain(path: string): ConfigExplanation {
    return explain(this.composer.schema, this.#composition, path, this.#explainer);
  }

  /** Every option that has a value, with where it came from. */
  explainAll(): ConfigExplanation[] {
    return explainAll(this.composer.schema, this.#composition);
  }

  /** What a configuration file may hold, as JSON Schema: for editors and forms. */
  jsonSchema(): Readonly<Record<string, unknown>> {
    return configJsonSchema(this.composer.schema);
  }

  /** Takes part in updates from now on, after those that joined before. Returns the function that leaves. */
  join(participant: ConfigParticipant<T>): () => void {
    this.#participants.add(participant);
    return () => void this.#participants.delete(participant);
  }

  /** Who is asked first why an option has its value. */
  explainWith(explainer: ConfigExplainer): void {
    this.#explainer = explainer;
  }

  /** What decides, for a while after each commit, whether the update stands. */
  watchHealthWith(watch: HealthWatch): void {
    this.#watchHealth = watch;
  }

  /**
   * Puts `patch` over the configuration, above every other source. A `null` in it takes an earlier patch back, so that
   * what the other sources say shows again. Resolves when the update stands.
   *
   * @throws {InvalidConfigError} when the result would be invalid.
   * @throws {StaleConfigError} when `expectedGeneration` is no longer in force.
   * @throws {RestartRequiredError} when it holds options that can't change while the service runs.
   * @throws {ConfigRefusedError} when a component can't take it.
   * @throws {ConfigRolledBackError} when the service went down under it.
   */
  update(patch: unknown, options: UpdateOptions): Promise<UpdateResult> {
    return this.#queue(options, (current) => {
      if (isTree(patch))
        return { ...current, runtime: patchedLayer(this.composer.schema, current.runtime, patch, options.source) };
      const problem = {
        path: 'configuration',
        rule: 'an update must be an object',
        source: `runtime ${options.source}`,
      };
      throw new InvalidConfigError([problem]);
    });
  }

  /**
   * Returns to the values of an earlier generation, as a new one.
   * @throws {UnknownGenerationError} when the history does not hold it, and as {@link update}.
   */
  rollback(generation: number, options: UpdateOptions): Promise<UpdateResult> {
    const source = `rollback to ${generation} by ${options.source}`;
    return this.#queue({ ...options, source }, () => this.#history.inputsOf(generation));
  }

  /** Replaces what the configuration file says. Throws as {@link update}. */
  replaceFile(file: ConfigLayer, options?: Omit<UpdateOptions, 'source'>): Promise<UpdateResult> {
    return this.#queue({ ...options, source: `file ${file.name}` }, (current) => ({ ...current, file }));
  }

  /**
   * Reads the configuration file again.
   * @throws {InvalidConfigError} when there is none or it can't be read, and as {@link update}.
   */
  reloadFile(options?: Omit<UpdateOptions, 'source'>): Promise<UpdateResult> {
    const { file } = this;
    return this.#queue({ ...options, source: `file ${file?.path ?? ''}`.trim() }, async (current) => {
      if (!file) throw new InvalidConfigError([{ path: 'MESH_CONFIG_FILE', rule: 'is required to reload a file' }]);
      return { ...current, file: await file.parse(await file.read()) };
    });
  }

  /** Refuses further updates, ends a running health watch in the update's favour, and waits for it to finish. */
  async close(): Promise<void> {
    this.#closing.abort(new DrainingError('A configuration update'));
    await this.#lastUpdate;
  }

  #queue(
    options: UpdateOptions,
    inputs: (current: ConfigInputs) => ConfigInputs | Promise<ConfigInputs>,
  ): Promise<UpdateResult> {
    const run = this.#lastUpdate.then(() => this.#change(options, inputs));
    this.#lastUpdate = run.catch(() => undefined); // The caller has the error; the next update must not.
    return run;
  }

  async #change(
    options: UpdateOptions,
    inputs: (current: ConfigInputs) => ConfigInputs | Promise<ConfigInputs>,
  ): Promise<UpdateResult> {
    let changes: readonly ConfigChange[] = [];
    try {
      this.#closing.signal.throwIfAborted();
      const { expectedGeneration = this.#generation } = options;
      if (expectedGeneration !== this.#generation) throw new StaleConfigError(expectedGeneration, this.#generation);
      const next = this.composer.compose(await inputs(this.#composition.inputs), this.snapshot);
      const leaves = diff(this.composer.schema, this.snapshot, next.value);
      changes = Object.freeze(leaves.map((leaf) => displayedChange(this.composer.schema, leaf)));
      this.#refuseRestart(leaves);
      const transaction = this.#transaction(next, leaves);
      transaction.check([...this.#participants]);
      if (options.dryRun) return this.#result('checked', changes);
      if (leaves.length === 0) return this.#adopt(next);
      return await this.#apply(next, transaction, changes, options);
    } catch (error) {
      const isTold = options.dryRun || error instanceof ConfigRolledBackError;
      if (!isTold) this.#reject(error, options.source, changes);
      throw error;
    }
  }

  async #apply(
    next: Composition<T>,
    transaction: ConfigTransaction<T>,
    changes: readonly ConfigChange[],
    options: UpdateOptions,
  ): Promise<UpdateResult> {
    const previous = this.#composition;
    await transaction.prepare([...this.#participants], this.#closing.signal);

    const { healthWindowMs = HEALTH_WINDOW_MS } = options;
    const window =
      this.#watchHealth && healthWindowMs > 0
        ? new HealthWindow(this.#clock, this.#watchHealth, healthWindowMs, this.#closing.signal)
        : undefined;
    try {
      transaction.commit(this.#optionChanges(next));
    } catch (error) {
      window?.end();
      throw await transaction.abandon(error);
    }
    this.#remember(options.source, changes);
    this.#events.emit('config.changed', { generation: this.#generation, source: options.source, changes });

    const downfall = await window?.outcome;
    if (downfall) return this.#goBack(previous, transaction, { ...downfall, changes, source: options.source });
    return this.#result('applied', changes, await transaction.settle());
  }

  #transaction(next: Composition<T>, changes: readonly LeafChange[]): ConfigTransaction<T> {
    return new ConfigTransaction(this.#clock, { next: next.value, previous: this.snapshot, changes });
  }

  async #goBack(
    previous: Composition<T>,
    transaction: ConfigTransaction<T>,
    why: Downfall & {
      readonly source: string;
      readonly changes: readonly ConfigChange[];
    },
  ): Promise<never> {
    const failures = transaction.revert(this.#optionChanges(previous));
    const undone = why.changes.map(({ path, from, to, update }) => ({ path, from: to, to: from, update }));
    this.#remember(`roll-back of ${why.source}`, undone);
    failures.push(...(await transaction.discard()));
    this.#events.emit('config.rolled-back', { generation: this.#generation, ...why });
    throw new ConfigRolledBackError(why.culprit, why.reason, failures);
  }

  /** Everything that holds a part of the configuration, to be switched as one. */
  #optionChanges(next: Composition<T>): OptionsChange[] {
    const before = [this.#composition, this.#generation] as const;
    const after = [next, this.#generation + 1] as const;
    const own: OptionsChange = {
      put: () => void ([this.#composition, this.#generation] = after),
      putBack: () => void ([this.#composition, this.#generation] = before),
      tellings: () => [],
    };
    const sections = [...this.#sections].map(([key, section]) => section.change(next.value[key]));
    return [own, this.#snapshot.change(next.value), ...sections];
  }

  #remember(source: string, changes: readonly ConfigChange[]): void {
    const entry = { generation: this.#generation, at: this.#clock.now(), source, changes };
    this.#history.add(entry, this.#composition.inputs);
  }

  /** The same values from other sources: nothing for anybody to do, but later updates start from these sources. */
  #adopt(next: Composition<T>): UpdateResult {
    this.#composition = { ...next, value: this.snapshot };
    this.#history.amend(next.inputs);
    return this.#result('unchanged', []);
  }

  #refuseRestart(leaves: readonly LeafChange[]): void {
    const refused = leaves.filter(({ update, path }) => {
      // What nobody swaps would be in the snapshot and not in effect.
      if (update === 'swap') return ![...this.#participants].some((one) => one.prepare && concerns(one, path));
      return update === 'restart';
    });
    if (refused.length > 0) throw new RestartRequiredError(refused.map(({ path }) => formatPath(path)));
  }

  #reject(error: unknown, source: string, changes: readonly ConfigChange[]): void {
    const code = error instanceof MeshError ? error.code : 'MESH_CONFIG_INVALID';
    const reason = messageOf(error);
    this.#events.emit('config.rejected', { generation: this.#generation, source, code, reason, changes });
  }

  #result(
    outcome: UpdateResult['outcome'],
    changes: readonly ConfigChange[],
    leftovers: readonly unknown[] = [],
  ): UpdateResult {
    return { outcome, generation: this.#generation, changes, leftovers };
  }
}
