import type { CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { EventLoopSampler } from '../core/event-loop.sampler.js';
import type { HealthContributor, HealthGroup, HealthReport, HealthSource, HealthState } from '../core/health.port.js';
import type { Ids } from '../core/ids.js';
import type { LiveOptions } from '../core/live-options.js';
import type { ContributorView, HealthView } from '../core/mesh-control.port.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { MeshEvents, MeshPhase } from '../core/mesh.events.js';
import type { MetricsClient } from '../core/metrics.port.js';
import { ApplicationHealth } from './application-health.js';
import { type HealthEntry, type HealthSnapshot, scoreOf } from './health-group.js';
import type { HealthHistorySummary } from './health-history.js';
import { HealthMetrics } from './health.metrics.js';
import { HealthMonitor, type CheckSettings } from './health.monitor.js';
import { assertContributor, membersOf, type Member } from './health-members.js';
import type { HealthOptions } from './health.options.js';
import { shortText, toReport } from './health-report.js';
import { HealthSnapshots } from './health-snapshots.js';
import { HealthSources } from './health.sources.js';

export interface HealthAggregatorDeps {
  readonly clock: Clock;
  readonly contexts: CallContexts;
  readonly eventLoop: EventLoopSampler;
  readonly ids: Ids;
  readonly events: MeshEvents;
  readonly metrics: MetricsClient;
}

/** One contributor, or one thing that a source shows, for people. */
export interface HealthComponentView extends ContributorView {
  readonly history?: HealthHistorySummary;
}

/** Everything that is known about the service's health, for people. */
export interface HealthOverview extends HealthView {
  readonly components: readonly HealthComponentView[];
}

/**
 * The one place that says whether the service is well.
 *
 * Contributors are checked in the background, so that a probe reads a snapshot and touches nothing; sources that know
 * their state anyway (circuit breakers) are read at every probe. What the state of a part means is said per group:
 * `live`, `ready`, `startup`, or one of the user's own.
 */
export class HealthAggregator {
  readonly #monitors = new Map<string, HealthMonitor>();
  /** Registered while the service was ready, and without a result so far. */
  readonly #joining = new Set<HealthMonitor>();
  readonly #sources = new HealthSources();
  readonly #snapshots: HealthSnapshots;
  #members: readonly Member[] | undefined;
  #composedWith: HealthOptions | undefined;
  readonly #application: ApplicationHealth;
  readonly #metrics: HealthMetrics;
  #started = false;
  #unsubscribe: (() => void) | undefined;

  constructor(
    private readonly options: LiveOptions<HealthOptions>,
    private readonly deps: HealthAggregatorDeps,
  ) {
    this.#metrics = new HealthMetrics(deps.metrics);
    this.#application = new ApplicationHealth(deps, () => options.current.maxEventLoopLagMs);
    this.#application.onChange = () => this.#changed();
    this.#snapshots = new HealthSnapshots({
      members: () => this.#currentMembers(),
      application: this.#application,
    });
    this.#changed();
  }

  /**
   * Adds a contributor; when the aggregator runs, its first check begins at once. Returns the function that removes it.
   * `registrant` is told to whoever wants the same name: `LedgerHealth.ping`.
   * @throws {MeshConfigError} for a name that is taken or that cannot stand in a metric's label, and for bad settings.
   */
  register(contributor: HealthContributor, registrant = 'a call of register()'): () => void {
    const { name } = contributor;
    assertContributor(contributor);
    const taken = this.#monitors.get(name);
    if (taken)
      throw new MeshConfigError(
        `The health contributor "${name}" is registered twice, by ${taken.registrant} and by ${registrant}; ` +
          'give each one a name of its own.',
      );

    const monitor = new HealthMonitor(contributor, {
      clock: this.deps.clock,
      contexts: this.deps.contexts,
      ids: this.deps.ids,
      registrant,
      settings: () => this.#settings(contributor),
      isStarting: () => this.#application.phase === 'starting',
      onChecked: (durationMs) => this.#metrics.checked(name, durationMs),
      onChange: (from, to, reason) => {
        this.#joining.delete(monitor);
        this.#transition(name, { from, to, reason });
      },
    });
    this.#monitors.set(name, monitor);
    // Joining a service that runs must not take it out of rotation: it counts from its first result on.
    if (this.#application.phase === 'ready') this.#joining.add(monitor);
    this.#invalidate();
    if (this.#started) void monitor.start();
    return () => {
      if (this.#monitors.get(name) !== monitor) return;
      monitor.stop();
      this.#monitors.delete(name);
      this.#joining.delete(monitor);
      this.#metrics.remove(name);
      this.#changed();
    };
  }

  /**
   * Adds something that knows the state of many things; they appear as `<prefix>:<name>`, in the group `ready` as
   * optional unless they or the configuration say otherwise. Returns the function that removes it.
   * @throws {MeshConfigError} when the prefix is taken.
   */
  addSource(prefix: string, source: HealthSource): () => void {
    const remove = this.#sources.add(prefix, source);
    if (!remove) throw new MeshConfigError(`Two health sources have the prefix "${prefix}"; give each one its own.`);
    return remove;
  }

  /**
   * Tells what was seen without a check - a lost connection, a failed heartbeat - and shows it at once.
   * @throws {MeshConfigError} when there is no contributor of that name.
   */
  update(name: string, report: HealthReport): void {
    const monitor = this.#monitors.get(name);
    if (!monitor) throw new MeshConfigError(`There is no health contributor "${name}" to update; register it first.`);
    monitor.update(toReport(report));
  }

  /** Takes the service out of rotation until {@link setReady}: the application's own decision, whatever the checks say. */
  setUnready(reason: string): void {
    this.#application.setUnready(shortText(reason));
  }

  setReady(): void {
    this.#application.setReady();
  }

  /** Says that only a restart helps: `live` is down from now on. */
  setBroken(reason: string): void {
    this.#application.setBroken(shortText(reason));
  }

  /** Follows the mesh's life: ready only between `ready` and `draining`, started from the first `ready` on. */
  setPhase(phase: MeshPhase): void {
    this.#application.setPhase(phase);
    if (phase !== 'ready' || !this.#started) return;
    // What was not there while the application connected itself is asked again at once.
    for (const monitor of this.#monitors.values()) if (monitor.state === 'unknown') monitor.hasten();
  }

  /** Begins the background checks. Resolves when every contributor has its first result, which is soon: checks have a time limit. */
  async start(): Promise<void> {
    if (this.#started) return;
    this.#started = true;
    const offCollect = this.deps.metrics.onCollect(() => this.#collect());
    const offChange = this.options.onChange(() => {
      for (const monitor of this.#monitors.values()) monitor.reschedule();
      this.#changed();
    });
    this.#unsubscribe = () => {
      offCollect();
      offChange();
    };
    this.#application.start();
    await Promise.all([...this.#monitors.values()].map((monitor) => monitor.start()));
  }

  /** Ends the background checks; the last state stays readable. */
  stop(): void {
    this.#started = false;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#application.stop();
    for (const monitor of this.#monitors.values()) monitor.stop();
  }

  /**
   * Checks one contributor now and resolves when its state is up to date; joins a check that runs already.
   * @throws {MeshConfigError} when there is no contributor of that name.
   */
  async checkNow(name: string): Promise<void> {
    const monitor = this.#monitors.get(name);
    if (!monitor) throw new MeshConfigError(`There is no health contributor "${name}" to check.`);
    if (monitor.contributor.check) await monitor.check();
  }

  /** The health of a group right now. Asks nobody, never throws; the same object until something changes. */
  snapshot(group: HealthGroup): HealthSnapshot {
    this.#refresh();
    return this.#snapshots.of(group);
  }

  /** A group's entries for Terminus: `healthCheckService.check([() => health.indicator('ready')])`. Never throws. */
  indicator(group: HealthGroup): Record<string, HealthEntry> {
    return { ...this.snapshot(group).entries };
  }

  /** The groups that exist: the three built-in ones and those that somebody counts in. */
  groups(): readonly HealthGroup[] {
    return this.#snapshots.groups();
  }

  /** Everything at once, for people: score, groups, and each contributor with its history. */
  overview(): HealthOverview {
    this.#refresh();
    const members = this.#currentMembers();
    return {
      score: scoreOf(members),
      groups: Object.fromEntries(this.groups().map((group) => [group, this.snapshot(group).status])),
      components: members.map(({ name, state, reason, groups, weight, monitor }) => ({
        name,
        state,
        groups,
        weight,
        ...(reason !== undefined && { reason }),
        ...(monitor?.checkedAt !== undefined && { checkedAt: monitor.checkedAt }),
        ...(monitor && { failures: monitor.failures, history: monitor.history.summary() }),
      })),
    };
  }

  #settings(contributor: HealthContributor): CheckSettings {
    const { current } = this.options;
    const own = current.contributors[contributor.name];
    return {
      everyMs: own?.everyMs ?? contributor.everyMs ?? current.everyMs,
      timeoutMs: own?.timeoutMs ?? contributor.timeoutMs ?? current.timeoutMs,
      jitterRatio: current.jitterRatio,
      failuresToDown: current.failuresToDown,
      successesToUp: current.successesToUp,
      staleAfterIntervals: current.staleAfterIntervals,
    };
  }

  /** Everything that counts somewhere; read once per change. */
  #currentMembers(): readonly Member[] {
    return (this.#members ??= membersOf({
      monitors: this.#monitors.values(),
      joining: this.#joining,
      sources: this.#sources.entries,
      settings: this.options.current.contributors,
    }));
  }

  /** Brings what only time or a source changes up to date, before anything is read. */
  #refresh(): void {
    const now = this.deps.clock.monotonic();
    for (const monitor of this.#monitors.values()) monitor.expire(now);
    if (this.#sources.read() || this.#composedWith !== this.options.current) this.#changed();
  }

  #transition(
    name: string,
    { from, to, reason }: { from: HealthState; to: HealthState; reason: string | undefined },
  ): void {
    if (from === to) return this.#invalidate();
    this.#changed();
    this.deps.events.emit('health.transition', {
      contributor: name,
      from,
      to,
      ...(reason !== undefined && { reason }),
    });
  }

  /** Drops what was composed, and tells at once when a group's own status is another one now. */
  #changed(): void {
    this.#invalidate();
    for (const change of this.#snapshots.changes()) this.deps.events.emit('health.group', change);
  }

  #invalidate(): void {
    this.#snapshots.invalidate();
    this.#members = undefined;
    this.#composedWith = this.options.current;
  }

  #collect(): void {
    this.#refresh();
    for (const group of this.groups()) this.#metrics.group(group, this.snapshot(group).status);
    for (const { name, state, groups, monitor } of this.#currentMembers()) {
      if (monitor) this.#metrics.component(name, state, groups);
    }
  }
}
