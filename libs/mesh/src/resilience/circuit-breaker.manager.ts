import { setImmediate as nextTurn } from 'node:timers/promises';
import { DrainingError, MeshConfigError } from '../core/mesh.errors.js';
import type { CacheClient } from '../core/cache.port.js';
import type { HealthSourceEntry } from '../core/health.port.js';
import type { LiveOptions } from '../core/live-options.js';
import { PolicyRunner } from '../core/policy.port.js';
import type { BreakerControl } from './breaker-control.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import { FaultTerms } from './faults/fault-terms.js';
import { invalidValues } from './declaration-check.js';
import type { BreakerSnapshot, PolicyDescription } from './policy-description.js';
import type { LayeredPolicy } from './policy-layers.js';
import { type Declared, PolicyResolver } from './policy-resolver.js';
import type { PolicySettings } from './policy-settings.js';
import { type PolicyUse, PolicyUses } from './policy-uses.js';
import { stagesOf } from './policy-stages.js';
import { type ResilienceDeps, ResilienceEngine } from './resilience-engine.js';
import { BREAKER_STATES } from './resilience.metrics.js';
import { ResiliencePolicy } from './resilience-policy.js';
import type { PolicyDeclaration, ResilienceOptions } from './resilience.options.js';
import { sameDeclaration } from './same-declaration.js';
import { BreakerSharing } from './sharing/breaker-sharing.js';
import { OperatedBreaker, type Saying } from './sharing/operated-breaker.js';
import { OverrideBoard } from './sharing/override-board.js';

export interface SharingOptions {
  /** Policies whose breakers are not shared: those that guard the very store that it would go through. */
  readonly except?: readonly string[];
}

/**
 * Keeps every named policy of the application, with its circuit breakers. Policies come into being when they are first
 * asked for and stay for the life of the application; options change under them without losing a breaker's state.
 */
export class CircuitBreakerManager extends PolicyRunner {
  readonly #options: LiveOptions<ResilienceOptions>;
  readonly #engine: ResilienceEngine;
  readonly #policies = new Map<string, ResiliencePolicy>();
  readonly #declared = new Map<string, Declared>();
  readonly #uses = new PolicyUses();
  // Policies of one pattern share their settings: thousands of them cost one object.
  readonly #ofPattern = new Map<string, PolicySettings>();
  readonly #faultTerms = new FaultTerms();
  readonly #stop: (() => void)[];
  #resolver: PolicyResolver;
  readonly #overrides: OverrideBoard;
  #sharing: BreakerSharing | undefined;

  constructor(options: LiveOptions<ResilienceOptions>, deps: ResilienceDeps) {
    super();
    this.#options = options;
    this.#engine = new ResilienceEngine(deps);
    this.#overrides = new OverrideBoard(deps.clock, deps.ids);
    this.#resolver = this.#putInForce(options.current);
    this.#stop = [
      options.onChange((next) => this.#onChange(next)),
      deps.metrics.onCollect(() => this.#collectStates()),
    ];
  }

  /**
   * Declares a policy in code. Configuration for the exact name wins over it; patterns and defaults do not.
   * @throws {MeshConfigError} when the name is already declared with other values, or the values can't work together.
   */
  declare(name: string, declaration: PolicyDeclaration, origin: string): ResiliencePolicy {
    const problems = invalidValues(declaration);
    if (problems.length > 0)
      throw new MeshConfigError(`Policy "${name}", declared by ${origin}, is wrong: ${problems.join('; ')}.`, { name });
    const existing = this.#declared.get(name);
    if (existing && !sameDeclaration(existing.declaration, declaration))
      throw new MeshConfigError(
        `Policy "${name}" is declared by ${existing.origin} and, with other values, by ${origin}. Declare it once and refer to it by name, or give one of them another name.`,
        { name },
      );
    const declared = existing ?? { declaration, origin };
    const settings = this.#resolver.resolve(name, declared).settings();
    this.#declared.set(name, declared);
    const policy = this.#policies.get(name) ?? this.#create(name, settings);
    policy.declare(declared.declaration);
    policy.configure(settings);
    return policy;
  }

  /** Notes a method that runs through the policy: {@link verify} looks at what all of them together allow. */
  noteUse(policy: string, use: PolicyUse): void {
    this.#uses.add(policy, use);
  }

  /**
   * Resolves everything that is configured or declared: at the end of the boot, when all declarations are in, and before
   * options that are not in force yet are taken over.
   * @throws {MeshConfigError} with all that is wrong.
   */
  verify(options: ResilienceOptions = this.#options.current): void {
    const resolver = this.#resolverOf(options);
    const problems: string[] = [];
    for (const name of new Set([...Object.keys(options.policies), ...this.#declared.keys()])) {
      try {
        resolver.resolve(name, this.#declared.get(name));
      } catch (error) {
        if (!(error instanceof MeshConfigError)) throw error;
        problems.push(error.message);
      }
    }
    if (problems.length > 0) throw new MeshConfigError(problems.join('\n'));
  }

  override policy(name: string): ResiliencePolicy {
    return this.#policies.get(name) ?? this.#create(name, this.#settingsOf(name));
  }

  /** As {@link policy}, but `undefined` when nothing matches the name: for protections that are there only if asked for. */
  find(name: string): ResiliencePolicy | undefined {
    return this.has(name) ? this.policy(name) : undefined;
  }

  /** Whether {@link policy} would find something: configuration, a pattern or a declaration. */
  has(name: string): boolean {
    return this.#policies.has(name) || this.#declared.has(name) || this.#resolver.knows(name);
  }

  /**
   * The operator's grip on one breaker; it is made if no call has made it yet.
   * @throws {MeshConfigError} when there is no such policy, or it has no circuit breaker.
   */
  breaker(policy: string, key?: string): BreakerControl {
    const breaker = this.policy(policy).breakerFor(key, this.#engine.clock.monotonic());
    if (!breaker)
      throw new MeshConfigError(`Policy "${policy}" has no circuit breaker: circuitBreaker is off.`, { policy });
    return new OperatedBreaker(breaker, (saying) => this.#tellOthers(breaker, saying));
  }

  /**
   * From now on the instances that share `cache` hear of each other's isolated, disabled and released breakers, and one
   * that starts goes on with those that are open. All of it happens in the background; nothing here waits for the cache.
   */
  share(cache: CacheClient, { except = [] }: SharingOptions = {}): void {
    if (this.#sharing || this.#engine.draining) return;
    const { clock, events } = this.#engine;
    this.#sharing = new BreakerSharing({
      cache,
      overrides: this.#overrides,
      clock,
      events,
      breakerOf: (policy, key) => this.find(policy)?.breakerFor(key, clock.monotonic()),
      pollMs: () => this.#options.current.sharePollMs,
      isPrivate: (policy) => except.includes(policy),
    });
    this.#engine.onOpened = (breaker) => this.#sharing?.opened(breaker);
    this.#sharing.start();
  }

  /** Tells in which order each policy that has a name of its own does what: once, at the start. */
  announce(): void {
    for (const name of this.names()) {
      const { order, origin } = this.describePolicy(name);
      this.#engine.events.emit('policy.resolved', { policy: name, order, ...(origin !== undefined && { origin }) });
    }
  }

  /** The breakers that calls have made, by policy. */
  list(): readonly BreakerSnapshot[] {
    return [...this.#breakers()].map((breaker) => breaker.snapshot());
  }

  /** The names of all policies that are known by name: configured, declared, or in use by a pattern. */
  names(): readonly string[] {
    const configured = Object.keys(this.#options.current.policies).filter((name) => !name.includes('*'));
    return [...new Set([...configured, ...this.#declared.keys(), ...this.#policies.keys()])].sort();
  }

  /** What the policy does with a call, in which order, and where each of its values comes from. */
  describePolicy(name: string): PolicyDescription {
    const layered = this.#resolveLayers(name);
    const policy = this.#policies.get(name);
    const stages = stagesOf(layered.settings(), this.#engine.clock.now());
    const origin = this.#declared.get(name)?.origin;
    const fault = policy?.fault;
    return {
      name,
      ...(origin !== undefined && { origin }),
      stages,
      order: stages.join(' -> '),
      values: layered.values(),
      ...(fault && { fault }),
      breakers: [...(policy?.breakers ?? [])].map((breaker) => breaker.snapshot()),
      events: policy?.observer.recent ?? [],
    };
  }

  /**
   * Who says what about one value of a policy (`circuitBreaker.openMs`), the strongest first; of the protection around it
   * when that is off. `undefined` when there is no such policy or value.
   */
  explain(name: string, path: string): ReturnType<LayeredPolicy['explain']> {
    if (!this.has(name)) return undefined;
    // As it is written: the instant at which a fault ends stands nowhere.
    return this.#resolverOf(this.#options.current).resolve(name, this.#declared.get(name)).explain(path);
  }

  /**
   * One entry for each breaker that does not simply pass calls: degraded, because the service itself is well; down for a
   * group that requires it while it refuses every call. It counts in the groups that the configuration names, else in none.
   */
  readHealth(): readonly HealthSourceEntry[] {
    const reports: HealthSourceEntry[] = [];
    for (const breaker of this.#breakers()) {
      const { state, policy, key, holdReason } = breaker;
      if (state === 'closed') continue;
      reports.push({
        name: key === undefined ? policy : `${policy}[${key}]`,
        status: 'degraded',
        groups: {},
        ...((state === 'open' || state === 'isolated') && { statusWhenRequired: 'down' }),
        // Nothing that ticks: a reason that changes is news to whoever listens.
        reason: `circuit breaker is ${state}${holdReason === undefined ? '' : `: ${holdReason} (operator)`}`,
        details: { ...breaker.snapshot() },
      });
    }
    return reports;
  }

  /** How many calls run, wait or pause. */
  get inFlight(): number {
    return this.#engine.queue.size;
  }

  /**
   * Waits until no call is under way; when the signal aborts, what is left is aborted. New calls are still taken: the
   * application's shutdown hooks come next, and need what they call.
   */
  async drain({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { queue } = this.#engine;
    this.#sharing?.stop();
    let onAbort!: () => void;
    const timeUp = new Promise<void>((resolve) => (onAbort = resolve));
    signal.addEventListener('abort', onAbort, { once: true });
    // Between two attempts of a call nothing is in the queue: one that goes on is there again a turn later.
    for (; queue.size > 0 && !signal.aborted; await nextTurn()) await Promise.race([queue.empty(), timeUp]);
    signal.removeEventListener('abort', onAbort);
    queue.abandonAll(new DrainingError('A running call'));
  }

  /** Starts nothing new, ends waits, and gives running calls until `deadlineAt` (epoch ms); then aborts them. */
  async stop({ deadlineAt }: { readonly deadlineAt: number }): Promise<void> {
    const { queue, clock } = this.#engine;
    this.#engine.draining = true;
    this.#sharing?.stop();
    queue.abandonWaiting(new DrainingError('A waiting call'));
    let finish!: () => void;
    const timeUp = new Promise<void>((resolve) => (finish = resolve));
    const timer = clock.setTimer(finish, Math.max(0, deadlineAt - clock.now()));
    await Promise.race([queue.empty(), timeUp]);
    timer.cancel();
    this.dispose();
  }

  /** Aborts what still runs and takes part in nothing any more: no breaker changes its state after this. */
  dispose(): void {
    this.#engine.draining = true;
    this.#sharing?.stop();
    for (const stop of this.#stop.splice(0)) stop();
    this.#engine.queue.abandonAll(new DrainingError('A running call'));
    for (const policy of this.#policies.values()) policy.dispose();
  }

  #tellOthers({ policy, key }: CircuitBreaker, saying: Saying): void {
    this.#overrides.say({ policy, ...(key !== undefined && { key }), ...saying });
    this.#sharing?.tell();
  }

  #create(name: string, settings: PolicySettings): ResiliencePolicy {
    const policy = new ResiliencePolicy(name, this.#engine, settings);
    this.#policies.set(name, policy);
    return policy;
  }

  #resolverOf(options: ResilienceOptions): PolicyResolver {
    return new PolicyResolver(options, this.#declared, this.#uses);
  }

  /** The time of a fault begins now. */
  #putInForce(options: ResilienceOptions): PolicyResolver {
    return this.#resolverOf(this.#faultTerms.date(options, this.#engine.clock.now()));
  }

  #settingsOf(name: string): PolicySettings {
    if (this.#declared.has(name) || this.#resolver.isExact(name)) return this.#resolveLayers(name).settings();
    const pattern = this.#resolver.patternOf(name);
    if (pattern === undefined) throw this.#resolver.unknown(name, this.#declared.keys());
    let settings = this.#ofPattern.get(pattern);
    if (!settings) this.#ofPattern.set(pattern, (settings = this.#resolver.resolve(name).settings()));
    return settings;
  }

  #resolveLayers(name: string): LayeredPolicy {
    if (!this.has(name)) throw this.#resolver.unknown(name, this.#declared.keys());
    return this.#resolver.resolve(name, this.#declared.get(name));
  }

  *#breakers(): IterableIterator<CircuitBreaker> {
    for (const policy of this.#policies.values()) if (policy.breakers) yield* policy.breakers;
  }

  #onChange(next: ResilienceOptions): void {
    const before = this.#resolver;
    this.#resolver = this.#putInForce(next);
    this.#ofPattern.clear();
    for (const [name, policy] of this.#policies) this.#reconfigure(policy, before, this.#declared.get(name));
    this.#sharing?.reconsider();
  }

  #reconfigure(policy: ResiliencePolicy, before: PolicyResolver, declared: Declared | undefined): void {
    const { name, observer } = policy;
    try {
      const next = this.#resolver.resolve(name, declared);
      const changes = next.changesSince(before.resolve(name, declared));
      if (changes.length === 0) return;
      policy.configure(next.settings());
      observer.emit('policy.changed', { policy: name, changes });
    } catch (error) {
      // The schema has checked the configuration; only together with a declaration can it still be impossible.
      observer.emit('policy.rejected', { policy: name, error });
    }
  }

  #collectStates(): void {
    const { states, inFlight } = this.#engine.metrics;
    inFlight.set(this.inFlight);
    for (const policy of this.#policies.values()) {
      if (!policy.breakers) continue;
      const counts = { closed: 0, open: 0, 'half-open': 0, isolated: 0, disabled: 0 };
      for (const breaker of policy.breakers) counts[breaker.state]++;
      for (const state of BREAKER_STATES)
        if (state === 'closed' || policy.observer.hasTransitioned)
          states.with({ policy: policy.name, state }).set(counts[state]);
    }
  }
}
