import {
  MessageBroker,
  type DrainOptions,
  type DrainReport,
  type MessageHandler,
  type MessagePattern,
  type PublishOptions,
  type PublishReceipt,
  type MessageServer,
  type RequestHandler,
  type RequestOptions,
  type ServeOptions,
  type SubscribeOptions,
  type Subscription,
} from '../core/broker.port.js';
import type { CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { HealthReport, HealthSource } from '../core/health.port.js';
import type { Ids } from '../core/ids.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MeshEvents } from '../core/mesh.events.js';
import { DrainingError, MeshConfigError } from '../core/mesh.errors.js';
import type { MetricsClient } from '../core/metrics.port.js';
import type { ServiceInfo } from '../core/service-info.js';
import { PayloadError } from './broker.errors.js';
import { BrokerMetrics } from './broker.metrics.js';
import type { BrokerOptions } from './broker.options.js';
import type { DeadLetterQueue } from './dead-letters.js';
import { EventBus } from './event-bus.js';
import { patternKey } from './message-pattern.js';
import { RequestDesk, type PolicyFor } from './request-desk.js';
import type { RequestRoute } from './request-exchange.js';

export interface BrokerCollaborators {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly events: MeshEvents;
  readonly metrics: MetricsClient;
  readonly contexts: CallContexts;
  readonly service: ServiceInfo;
  /** The policy that requests of a pattern run through, when there is one. */
  readonly policyFor?: PolicyFor;
}

/** `open`: everything is taken. `draining`: only what running work asks for. `stopped`: nothing. */
type BrokerState = 'open' | 'draining' | 'stopped';

/**
 * The default broker: requests are calls and events are bounded queues in this process. Payloads pass by reference, and
 * errors arrive as thrown. What waits in memory is lost when the process is killed.
 */
export class InProcessBroker extends MessageBroker implements HealthSource, MessageServer {
  readonly #clock: Clock;
  readonly #contexts: CallContexts;
  readonly #meshEvents: MeshEvents;
  readonly #desk: RequestDesk;
  readonly #bus: EventBus;
  #state: BrokerState = 'open';
  #consuming = false;
  #drain: Promise<DrainReport> | undefined;
  #onIdle: () => void = () => undefined;

  constructor(options: LiveOptions<BrokerOptions>, collaborators: BrokerCollaborators) {
    super();
    const { clock, ids, events, contexts } = collaborators;
    this.#clock = clock;
    this.#contexts = contexts;
    this.#meshEvents = events;
    const metrics = new BrokerMetrics(collaborators.metrics);
    this.#desk = new RequestDesk(options, metrics, { ...collaborators, onIdle: () => this.#onIdle() });
    this.#bus = new EventBus(
      {
        clock,
        ids,
        events,
        contexts,
        options,
        isConsuming: () => this.#consuming,
        isDraining: () => this.#state !== 'open',
        onIdle: () => this.#onIdle(),
      },
      metrics,
    );
    metrics.observeLoad({
      requests: () => this.#desk.inFlight,
      deliveries: () => sum(this.#bus.subscriptions, (subscription) => subscription.running.size),
      queued: () => sum(this.#bus.subscriptions, (subscription) => subscription.queued),
      deadLetters: () => this.#bus.deadLetterCount,
    });
  }

  override request<R = unknown>(pattern: MessagePattern, payload?: unknown, options?: RequestOptions): Promise<R> {
    try {
      const key = typeof pattern === 'string' ? pattern : patternKey(pattern);
      if (this.#state !== 'open') this.#refuseNewWork(`The request "${key}"`);
      return this.#desk.request<R>(key, payload, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  override async publish(topic: string, payload?: unknown, options: PublishOptions = {}): Promise<PublishReceipt> {
    assertTopic(topic);
    if (this.#state !== 'open') this.#refuseNewWork(`The message for "${topic}"`);
    return this.#bus.publish(topic, payload, options);
  }

  override async subscribe<T = unknown>(
    topic: string,
    handler: MessageHandler<T>,
    options: SubscribeOptions = {},
  ): Promise<Subscription> {
    assertTopic(topic);
    assertSubscribeOptions(topic, options);
    if (this.#state !== 'open') throw new DrainingError(`The subscription to "${topic}"`);
    return this.#bus.subscribe(topic, handler as MessageHandler<never>, options);
  }

  /**
   * Answers requests of `pattern` from now on. Returns the function that ends it.
   * @throws {MeshConfigError} when the pattern has a handler already: it would be unclear who answers.
   */
  serve(pattern: unknown, handler: RequestHandler, options: ServeOptions = {}): () => void {
    const { name = handler.name || 'anonymous', payloadOnly = false } = options;
    return this.#desk.serve(patternKey(pattern), handler as RequestRoute['handler'], { name, payloadOnly });
  }

  /** The patterns that are answered, by the name of their handler. */
  get handlers(): ReadonlyMap<string, string> {
    return this.#desk.handlers;
  }

  /** Begins, or resumes, to deliver messages. Until then they wait; requests are answered all the same. */
  startConsuming(): void {
    if (this.#state === 'stopped') return;
    this.#consuming = true;
    for (const subscription of this.#bus.subscriptions) subscription.wake();
  }

  /** Delivers nothing until {@link startConsuming}: messages wait, running handlers finish. */
  pauseConsuming(): void {
    this.#consuming = false;
    this.#onIdle();
  }

  /** The messages of `topic` that were given up: to list, to deliver again, to discard. */
  deadLetters(topic: string): DeadLetterQueue {
    return this.#bus.deadLetters(topic);
  }

  override drain(options: DrainOptions): Promise<DrainReport> {
    this.#drain ??= this.#drainOnce(options);
    return this.#drain;
  }

  /** Takes nothing more, gives up what still waits and leaves no timer behind. Handlers that run are not waited for. */
  stop(): void {
    this.#state = 'stopped';
    this.#consuming = false;
    for (const subscription of this.#bus.subscriptions) subscription.abandon();
    this.#desk.stop();
    this.#onIdle();
  }

  readHealth(): readonly (HealthReport & { readonly name: string })[] {
    const full = [...this.#bus.subscriptions].find((subscription) => !subscription.hasRoom);
    const details = {
      transport: 'in-process',
      state: this.#state,
      handlers: this.#desk.handlers.size,
      subscriptions: this.#bus.subscriptions.size,
      inFlight: this.#desk.inFlight,
      queued: sum(this.#bus.subscriptions, (subscription) => subscription.queued),
      deadLetters: this.#bus.deadLetterCount,
    };
    if (!full) return [{ name: 'broker', status: 'up', details }];
    const reason = `"${full.name}" has no room for another message of "${full.topic}": ${full.queued} wait`;
    return [{ name: 'broker', status: 'degraded', reason, details }];
  }

  /** While draining, work that was accepted earlier may ask for more; it runs in a call context, a stray timer does not. */
  #refuseNewWork(what: string): void {
    if (this.#state === 'stopped' || !this.#contexts.current()) throw new DrainingError(what);
  }

  async #drainOnce({ deadlineAt }: DrainOptions): Promise<DrainReport> {
    const startedAt = this.#clock.monotonic();
    const finishedBefore = this.#finished;
    if (this.#state === 'open') this.#state = 'draining';
    for (const subscription of this.#bus.subscriptions) subscription.hurry();
    await this.#idleOrAt(deadlineAt);
    const report = { finished: this.#finished - finishedBefore, abandoned: this.#unfinished() };
    this.#meshEvents.emit('broker.drained', { ...report, durationMs: this.#clock.monotonic() - startedAt });
    return report;
  }

  #idleOrAt(deadlineAt: number): Promise<void> {
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(() => done(), Math.max(0, deadlineAt - this.#clock.now()));
      const done = (): void => {
        timer.cancel();
        this.#onIdle = () => undefined;
        resolve();
      };
      this.#onIdle = () => {
        if (this.#isIdle) done();
      };
    });
  }

  get #isIdle(): boolean {
    if (this.#desk.inFlight > 0) return false;
    for (const subscription of this.#bus.subscriptions) {
      if (subscription.running.size > 0 || (this.#consuming && subscription.queued > 0)) return false;
    }
    return true;
  }

  get #finished(): number {
    return this.#desk.finished + this.#bus.handled;
  }

  #unfinished(): DrainReport['abandoned'] {
    const now = this.#clock.monotonic();
    const epoch = this.#clock.now();
    const age = ({ name, startedAt }: { name: string; startedAt: number }) => ({ name, ageMs: now - startedAt });
    const deliveries = [...this.#bus.subscriptions].flatMap((subscription) => [
      ...[...subscription.running].map(age),
      ...subscription.waiting().map(({ message }) => ({ name: subscription.name, ageMs: epoch - message.publishedAt })),
    ]);
    return [...this.#desk.running.map(age), ...deliveries];
  }
}

function sum<T>(items: Iterable<T>, of: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += of(item);
  return total;
}

function assertTopic(topic: string): void {
  if (typeof topic !== 'string' || topic === '')
    throw new PayloadError(`A topic is a string that is not empty, not ${topic === '' ? "''" : typeof topic}.`);
}

function assertSubscribeOptions(topic: string, { concurrency, maxDeliver, backoffMs }: SubscribeOptions): void {
  const wrong = (name: string, value: unknown): never => {
    throw new MeshConfigError(
      `The subscription to "${topic}" has ${name} ${String(value)}: it must be a whole number of at least 1.`,
    );
  };
  if (concurrency !== undefined && !(Number.isInteger(concurrency) && concurrency >= 1))
    wrong('concurrency', concurrency);
  if (maxDeliver !== undefined && !(Number.isInteger(maxDeliver) && maxDeliver >= 1)) wrong('maxDeliver', maxDeliver);
  if (backoffMs && (backoffMs.length === 0 || backoffMs.some((ms) => !(ms >= 0))))
    throw new MeshConfigError(
      `The subscription to "${topic}" needs backoffMs with at least one delay, none of them negative.`,
    );
}
