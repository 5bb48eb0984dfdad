import type { MeshEventMap, MeshEventName, ServiceMesh } from '../../index.js';
import { TestedBreaker } from './tested-breaker.js';
import { TestedCache } from './tested-cache.js';
import { failExpectation, listed } from './failed-expectation.js';
import { TestedMessages } from './tested-messages.js';
import { TestedMetrics } from './tested-metrics.js';
import { TestedPolicy } from './tested-policy.js';
import type { TestBench } from './test-bench.js';
import type { TestClock } from './test-clock.js';
import { MIDDLE, type TestIds } from './test-ids.js';

/** Fast enough that nobody waits for a drain, slow enough that a request over a socket still ends in its time. */
const SHUTDOWN_SPEED = 20;

interface Told {
  readonly name: MeshEventName;
  readonly event: object;
}

/**
 * Everything that a test does to the mesh of its application, and everything that it asks of it. Get it from the
 * application: `app.get(MeshTestKit)`.
 *
 * What it does goes through the doors that operators and code have: commands of breakers, faults of policies, the event
 * bus, the metrics' exposition.
 */
export class MeshTestKit {
  /** Time: nothing of the mesh waits, expires or retries until it is advanced. Runs by itself once the application goes down. */
  readonly clock: TestClock;
  /** The dice behind jitter, sampling and fault ratios; `fraction` is what they give. */
  readonly dice: TestIds;
  readonly messages: TestedMessages;
  readonly cache: TestedCache;
  readonly metrics: TestedMetrics;
  readonly #policies = new Map<string, TestedPolicy>();
  readonly #bench: TestBench;
  readonly #told: Told[] = [];

  constructor(
    readonly mesh: ServiceMesh,
    bench: TestBench,
  ) {
    this.#bench = bench;
    this.clock = bench.clock;
    this.dice = bench.ids;
    this.messages = new TestedMessages(mesh.broker);
    this.metrics = new TestedMetrics(mesh.metrics);
    this.cache = new TestedCache(bench.store, bench.input, this.metrics);
    mesh.events.onAny((name, event) => void this.#told.push({ name, event }));
    mesh.events.on('lifecycle.phase', ({ phase }) => {
      if (phase === 'draining' || phase === 'stopping') this.clock.run(SHUTDOWN_SPEED);
      else this.clock.stop();
    });
  }

  /** @throws {MeshConfigError} at its first use, when there is no such policy. */
  policy(name: string): TestedPolicy {
    const policy = this.#policies.get(name) ?? new TestedPolicy(name, this.mesh.breakers);
    this.#policies.set(name, policy);
    return policy;
  }

  /** @throws {MeshConfigError} when there is no such policy, or it has no breaker. */
  breaker(policy: string, key?: string): TestedBreaker {
    const control = this.mesh.breakers.breaker(policy, key);
    const name = key === undefined ? policy : `${policy}[${key}]`;
    return new TestedBreaker(control, this.clock, { name, transitions: () => this.#transitions(policy, key) });
  }

  /** What the mesh told under a name, the oldest first: `kit.events('call.retry')`. */
  events<N extends MeshEventName>(name: N): readonly MeshEventMap[N][] {
    return this.#told.flatMap((told) => (told.name === name ? [told.event as MeshEventMap[N]] : []));
  }

  /**
   * Whether everything that was begun has ended: no call, no request, over HTTP or as a message, no handler and no message
   * waits or runs; and when the application has been closed, no timer of the mesh is left either.
   * @throws with what is left.
   */
  async expectQuiet(): Promise<void> {
    await this.clock.advance(0);
    const left = [...(await this.#unfinished()), ...this.#timersLeft()];
    if (left.length > 0) failExpectation(`Not everything has ended:${listed(left)}`, { actual: left, expected: [] });
  }

  /**
   * For tests that share an application: everything works again, breakers are closed, the clock stands, the dice give what
   * they gave at first, nothing has been sent, told, counted or given up yet. What waits on the clock goes on waiting, the
   * cache keeps its values, and rate limits and retry budgets fill up again as time is advanced.
   */
  async reset(): Promise<void> {
    this.clock.stop();
    this.dice.fraction = MIDDLE;
    for (const policy of this.#policies.values()) policy.restore();
    this.messages.restore();
    this.cache.bringSecondTierBack();
    for (const { policy, key } of this.mesh.breakers.list()) this.mesh.breakers.breaker(policy, key).reset();
    await this.clock.advance(0);
    for (const topic of new Set(this.events('broker.dead-lettered').map((letter) => letter.topic)))
      await this.mesh.broker.deadLetters(topic).discard();
    this.messages.clear();
    this.#told.length = 0;
    await this.metrics.reset();
  }

  get #isStopped(): boolean {
    return this.mesh.lifecycle.phase === 'stopped';
  }

  #transitions(policy: string, key: string | undefined): readonly string[] {
    return this.events('breaker.transition')
      .filter((transition) => transition.policy === policy && transition.key === key)
      .map(({ from, to }) => `${from} -> ${to}`);
  }

  async #unfinished(): Promise<string[]> {
    const calls = this.mesh.breakers.inFlight;
    const queued = await this.metrics.valueIfAny('mesh_messages_queued');
    // Nobody counts any more once the application has gone.
    const http = this.#isStopped ? 0 : await this.metrics.valueIfAny('mesh_http_in_flight');
    return [
      ...this.messages.unfinished,
      ...(http > 0 ? [`${http} HTTP requests are being answered`] : []),
      ...(calls > 0 ? [`${calls} calls through policies run, wait or pause`] : []),
      ...(queued > 0 ? [`${queued} messages wait for their handler or their next delivery`] : []),
    ];
  }

  #timersLeft(): string[] {
    if (!this.#isStopped) return [];
    return this.#bench.clock.timers.map(({ inMs, setBy }) => `a timer, due in ${Math.round(inMs)} ms, set by ${setBy}`);
  }
}
