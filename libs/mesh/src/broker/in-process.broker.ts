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
  type WaitForOptions,
} from '../core/broker.port.js';
import type { Clock } from '../core/clock.js';
import type { HealthReport, HealthSource } from '../core/health.port.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MeshEvents } from '../core/mesh.events.js';
import type { BrokerCollaborators } from './broker-collaborators.js';
import { BrokerLife } from './broker-life.js';
import { agesOf, brokerHealth, toldIfLost } from './broker-reports.js';
import { BrokerMetrics } from './broker.metrics.js';
import type { SharedBrokerOptions } from './broker.options.js';
import type { DeadLetterQueue } from './dead-letters.js';
import { EventBus } from './event-bus.js';
import { MemoryDedupeStore } from './dedupe/memory-dedupe.store.js';
import {
  assertSubscribeOptions,
  assertTopic,
  nameOf,
  prepareHandler,
  prepareRequestHandler,
  type HandlerParts,
} from './handler-preparation.js';
import { patternKey } from './message-pattern.js';
import { conforming } from './payload-schema.js';
import { askChecked } from './request-checks.js';
import { RequestDesk } from './request-desk.js';
import type { RequestRoute } from './request-exchange.js';
import { waitForPatterns } from './wait-for.js';

/**
 * The default broker: requests are calls and events are bounded queues in this process. Payloads pass by reference, and
 * errors arrive as thrown. What waits in memory is lost when the process is killed.
 */
export class InProcessBroker extends MessageBroker implements HealthSource, MessageServer {
  readonly #clock: Clock;
  readonly #meshEvents: MeshEvents;
  readonly #desk: RequestDesk;
  readonly #bus: EventBus;
  readonly #handlerParts: HandlerParts;
  readonly #life: BrokerLife;
  #consuming = false;

  constructor(options: LiveOptions<SharedBrokerOptions>, collaborators: BrokerCollaborators) {
    super();
    const { clock, ids, events, contexts, service } = collaborators;
    this.#clock = clock;
    this.#meshEvents = events;
    const metrics = new BrokerMetrics(collaborators.metrics);
    this.#life = new BrokerLife(collaborators, {
      isIdle: () => this.#desk.inFlight === 0 && this.#bus.isIdle,
      finished: () => this.#desk.finished + this.#bus.handled,
      unfinished: () => [...agesOf(this.#desk.running, clock.monotonic()), ...this.#bus.unfinished()],
    });
    const onIdle = (): void => this.#life.checkIdle();
    this.#desk = new RequestDesk(options, metrics, { ...collaborators, onIdle });
    this.#bus = new EventBus(
      {
        clock,
        ids,
        events,
        contexts,
        options,
        isConsuming: () => this.#consuming,
        isDraining: () => !this.#life.isOpen,
        onIdle,
      },
      metrics,
    );
    this.#handlerParts = {
      events,
      metrics,
      options,
      service,
      store: collaborators.dedupe ?? new MemoryDedupeStore(clock, () => options.current.dedupe.maxEntries),
    };
    metrics.observeLoad({
      requests: () => this.#desk.inFlight,
      deliveries: () => this.#bus.running,
      queued: () => this.#bus.queued,
      deadLetters: () => this.#bus.deadLetterCount,
    });
  }

  /** @throws {MeshConfigError} when a package is missing that the configuration needs. */
  async start(): Promise<void> {
    await this.#handlerParts.store.start?.();
  }

  override request<R = unknown>(pattern: MessagePattern, payload?: unknown, options?: RequestOptions): Promise<R> {
    try {
      const key = typeof pattern === 'string' ? pattern : patternKey(pattern);
      if (!this.#life.isOpen) this.#life.assertTakes(`The request "${key}"`);
      if (options?.schema || options?.answerSchema) return this.#requestChecked<R>(key, payload, options);
      return this.#desk.request<R>(key, payload, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  override publish(topic: string, payload?: unknown, options: PublishOptions = {}): Promise<PublishReceipt> {
    return toldIfLost(this.#publish(topic, payload, options), this.#meshEvents, { transport: 'in-process', topic });
  }

  override async subscribe<T = unknown>(
    topic: string,
    handler: MessageHandler<T>,
    options: SubscribeOptions = {},
  ): Promise<Subscription> {
    assertSubscribeOptions(topic, options);
    this.#life.assertOpen(`The subscription to "${topic}"`);
    const own = { ...options, name: nameOf(handler, options) };
    const prepared = prepareHandler(topic, handler as MessageHandler<never>, own, this.#handlerParts);
    return this.#bus.subscribe(topic, prepared, own);
  }

  /**
   * Answers requests of `pattern` from now on. Returns the function that ends it.
   * @throws {MeshConfigError} when the pattern has a handler already: it would be unclear who answers.
   */
  serve(pattern: unknown, handler: RequestHandler, options: ServeOptions = {}): () => void {
    const key = patternKey(pattern);
    const bound = prepareRequestHandler(key, handler, options) as RequestRoute['handler'];
    return this.#desk.serve(key, bound, { name: nameOf(handler, options), payloadOnly: options.payloadOnly ?? false });
  }

  /** The patterns that are answered, by the name of their handler. */
  get handlers(): ReadonlyMap<string, string> {
    return this.#desk.handlers;
  }

  /** Begins, or resumes, to deliver messages. Until then they wait; requests are answered all the same. */
  startConsuming(): void {
    if (this.#life.isStopped) return;
    this.#consuming = true;
    for (const subscription of this.#bus.subscriptions) subscription.wake();
  }

  /** Delivers nothing until {@link startConsuming}: messages wait, running handlers finish. */
  pauseConsuming(): void {
    this.#consuming = false;
    this.#life.checkIdle();
  }

  override deadLetters(topic: string): DeadLetterQueue {
    return this.#bus.deadLetters(topic);
  }

  override waitFor(patterns: readonly MessagePattern[], options: WaitForOptions = {}): Promise<void> {
    const isServed = (key: string): boolean => this.#desk.handlers.has(key);
    return waitForPatterns(patterns.map(patternKey), isServed, { ...options, clock: this.#clock });
  }

  override drain(options: DrainOptions): Promise<DrainReport> {
    return this.#life.drain(options, () => {
      for (const subscription of this.#bus.subscriptions) subscription.hurry();
    });
  }

  /**
   * Takes nothing more, gives up what still waits and leaves no timer behind. What was asked for since the drain is
   * waited for, until `deadlineAt`.
   */
  async stop({ deadlineAt = 0 }: Partial<DrainOptions> = {}): Promise<void> {
    await this.#life.end(deadlineAt);
    this.#consuming = false;
    for (const subscription of this.#bus.subscriptions) subscription.abandon();
    this.#desk.stop();
    this.#life.checkIdle();
    await this.#handlerParts.store.stop();
  }

  readHealth(): readonly (HealthReport & { readonly name: string })[] {
    const details = {
      transport: 'in-process',
      phase: this.#life.state,
      handlers: this.#desk.handlers.size,
      subscriptions: this.#bus.subscriptions.size,
      inFlight: this.#desk.inFlight,
      queued: this.#bus.queued,
      deadLetters: this.#bus.deadLetterCount,
    };
    return brokerHealth(details, this.#bus);
  }

  async #publish(topic: string, payload: unknown, options: PublishOptions): Promise<PublishReceipt> {
    assertTopic(topic);
    this.#life.assertTakes(`The message for "${topic}"`);
    if (options.schema) await conforming(options.schema, payload, `The message for "${topic}"`);
    return this.#bus.publish(topic, payload, options);
  }

  // Apart, so that a request without a schema pays for no closure.
  #requestChecked<R>(key: string, payload: unknown, options: RequestOptions): Promise<R> {
    const ask = (): Promise<unknown> => this.#desk.request(key, payload, options);
    return askChecked(key, payload, { ...options, ask }) as Promise<R>;
  }
}
