import {
  MessageBroker,
  type DeadLetters,
  type DrainOptions,
  type DrainReport,
  type MessageHandler,
  type MessagePattern,
  type MessageServer,
  type PublishOptions,
  type PublishReceipt,
  type RequestHandler,
  type RequestOptions,
  type ServeOptions,
  type SubscribeOptions,
  type Subscription,
  type WaitForOptions,
} from '../../core/broker.port.js';
import type { ComponentContext } from '../../core/component.port.js';
import type { HealthReport, HealthSource } from '../../core/health.port.js';
import type { LiveOptions } from '../../core/live-options.js';
import { DrainingError } from '../../core/mesh.errors.js';
import type { BrokerCollaborators } from '../broker-collaborators.js';
import { BrokerLife } from '../broker-life.js';
import { CapabilityMissingError } from '../broker.errors.js';
import { agesOf, brokerHealth, toldIfLost } from '../broker-reports.js';
import { BrokerMetrics } from '../broker.metrics.js';
import type { RemoteBrokerOptions } from '../broker.options.js';
import type { DedupeStore } from '../dedupe/dedupe.store.js';
import { assertSubscribeOptions, assertTopic, nameOf, prepareRequestHandler } from '../handler-preparation.js';
import { patternKey } from '../message-pattern.js';
import { askChecked } from '../request-checks.js';
import { waitForPatterns } from '../wait-for.js';
import { atMost } from './at-most.js';
import { assertCapabilities, assertInbound, assertRequests } from './capabilities.js';
import { ConnectionState } from './connection-state.js';
import { IntakeKeeper } from './intake-keeper.js';
import { JoinedDeadLetters } from './joined-dead-letters.js';
import { PendingRequests } from './pending-requests.js';
import { RemoteEvents } from './remote-events.js';
import { RequestServer } from './request-server.js';
import type { DriverHost, TransportDriver } from './transport-driver.port.js';

/** How long messages that waited for the connection still wait for the subscriptions to be opened. */
const INTAKES_FIRST_MS = 5_000;

/** A broker whose messages travel over a server. What is the same over every kind of server is here and beside; the rest is the driver's. */
export class TransportBroker extends MessageBroker implements HealthSource, MessageServer {
  readonly #options: LiveOptions<RemoteBrokerOptions>;
  readonly #driver: TransportDriver;
  readonly #parts: BrokerCollaborators & { readonly dedupe: DedupeStore };
  readonly #requests: PendingRequests;
  readonly #server: RequestServer;
  readonly #events: RemoteEvents;
  readonly #intakes: IntakeKeeper;
  readonly #connection: ConnectionState;
  readonly #life: BrokerLife;
  readonly #ending = new AbortController();
  #consuming = false;

  constructor(
    options: LiveOptions<RemoteBrokerOptions>,
    driver: TransportDriver,
    parts: BrokerCollaborators & { readonly dedupe: DedupeStore },
  ) {
    super();
    this.#options = options;
    this.#driver = driver;
    this.#parts = parts;
    const metrics = new BrokerMetrics(parts.metrics);
    this.#connection = new ConnectionState(driver.name, parts.events);
    this.#life = new BrokerLife(parts, {
      isIdle: () => this.#isIdle,
      finished: () => this.#server.finished + this.#events.bus.handled,
      unfinished: () => this.#unfinished(),
    });
    const shared = {
      ...parts,
      driver,
      metrics,
      isDraining: () => !this.#life.isOpen,
      onIdle: () => this.#life.checkIdle(),
    };
    this.#requests = new PendingRequests(options, { ...shared, awayReason: () => this.#connection.awayReason });
    this.#server = new RequestServer(options, { ...shared, service: parts.service.name });
    this.#events = new RemoteEvents(options, {
      ...shared,
      isConnected: () => this.#connection.isUp,
      isConsuming: () => this.#consuming,
      open: (slot) => this.#intakes.open(slot),
    });
    this.#intakes = new IntakeKeeper({
      clock: parts.clock,
      slots: () => [...this.#events.slots, ...(this.#consuming ? this.#server.slots : [])],
      connection: this.#connection,
      isOpen: () => this.#life.isOpen,
      onFailure: (what, error) => this.#tellFailure(what, error),
    });
    const { bus, outbox } = this.#events;
    metrics.observeLoad({
      requests: () => this.#server.running.size,
      deliveries: () => bus.running,
      queued: () => bus.queued,
      deadLetters: () => bus.deadLetterCount,
      unsent: () => outbox.waiting,
      lag: () => this.#events.lag,
      connected: () => (this.#connection.isUp ? 1 : 0),
    });
  }

  /** Connects and opens the subscriptions. What comes in waits until {@link startConsuming}. */
  async start({ signal }: ComponentContext): Promise<void> {
    await this.#driver.load();
    await this.#parts.dedupe.start?.();
    const { required } = this.#options.current;
    const until = required ? AbortSignal.any([signal, this.#ending.signal]) : this.#ending.signal;
    const connected = this.#driver.start(this.#host(), until);
    if (required) {
      await connected;
      await Promise.all([...this.#events.slots].map((slot) => this.#intakes.open(slot)));
    } else connected.catch((error: unknown) => this.#tellFailure('the start', error));
  }

  override request<R = unknown>(pattern: MessagePattern, payload?: unknown, options: RequestOptions = {}): Promise<R> {
    try {
      const key = patternKey(pattern);
      this.#life.assertTakes(`The request "${key}"`);
      assertRequests(this.#driver, key);
      const isPlain = !options.schema && !options.answerSchema && !this.#server.opening(key);
      return (
        isPlain ? this.#requests.request(key, payload, options) : this.#requestChecked(key, payload, options)
      ) as Promise<R>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  override publish(topic: string, payload?: unknown, options: PublishOptions = {}): Promise<PublishReceipt> {
    const { name: transport } = this.#driver;
    return toldIfLost(this.#publish(topic, payload, options), this.#parts.events, { transport, topic });
  }

  override async subscribe<T = unknown>(
    topic: string,
    handler: MessageHandler<T>,
    options: SubscribeOptions = {},
  ): Promise<Subscription> {
    assertSubscribeOptions(topic, options);
    assertCapabilities(this.#driver, topic, options);
    this.#life.assertOpen(`The subscription to "${topic}"`);
    return this.#events.subscribe(topic, handler as MessageHandler<never>, options);
  }

  serve(pattern: unknown, handler: RequestHandler, options: ServeOptions = {}): () => void {
    const key = patternKey(pattern);
    assertInbound(this.#driver, `requests of "${key}"`);
    const bound = prepareRequestHandler(key, handler, options);
    const end = this.#server.serve(key, nameOf(handler, options), bound);
    if (this.#consuming) void this.#intakes.openAll();
    return () => {
      end().catch((error: unknown) => this.#tellFailure(`the end of "${key}"`, error));
    };
  }

  /** The patterns that are answered, by the name of their handler. */
  get handlers(): ReadonlyMap<string, string> {
    return this.#server.handlers;
  }

  /** Begins to answer requests and to deliver messages. */
  startConsuming(): void {
    if (this.#life.isStopped) return;
    this.#consuming = true;
    void this.#intakes.openAll();
    for (const subscription of this.#events.bus.subscriptions) subscription.wake();
  }

  /** Delivers nothing until {@link startConsuming}: messages wait, running handlers finish, requests are answered. */
  pauseConsuming(): void {
    this.#consuming = false;
    this.#life.checkIdle();
  }

  override waitFor(patterns: readonly MessagePattern[], options: WaitForOptions = {}): Promise<void> {
    const { noResponder, probes = noResponder } = this.#driver.capabilities;
    if (!probes)
      return Promise.reject(
        new CapabilityMissingError(
          this.#driver.name,
          'tell whether a pattern is served',
          'send a request and mind its timeout',
        ),
      );
    const isServed = (pattern: string, leftMs: number): Promise<boolean> => this.#requests.probe(pattern, leftMs);
    return waitForPatterns(patterns.map(patternKey), isServed, { ...options, clock: this.#parts.clock });
  }

  /** Those that the server stores, and of what it does not store those in this process's memory. */
  override deadLetters(topic: string): DeadLetters {
    const inMemory = this.#events.bus.deadLetters(topic);
    const { deadLetters } = this.#driver;
    if (!deadLetters) return inMemory;
    const stored = (): DeadLetters => deadLetters.call(this.#driver, topic);
    return new JoinedDeadLetters({ topic, stored, inMemory, awayReason: () => this.#connection.awayReason });
  }

  override drain(options: DrainOptions): Promise<DrainReport> {
    return this.#life.drain(options, () => this.#windDown());
  }

  /**
   * Takes nothing more, hands back what did not begin, rejects what still waits and closes the connection. What was asked
   * for since the drain is waited for, until `deadlineAt`.
   */
  async stop({ deadlineAt = 0 }: Partial<DrainOptions> = {}): Promise<void> {
    if (this.#life.isStopped) return;
    await this.#life.end(deadlineAt);
    this.#consuming = false;
    this.#ending.abort(new DrainingError('The connection'));
    this.#intakes.stop();
    for (const subscription of this.#events.bus.subscriptions) subscription.abandon();
    this.#requests.stop();
    this.#server.stop();
    this.#events.outbox.stop();
    this.#life.checkIdle();
    await this.#driver.stop();
    await this.#parts.dedupe.stop();
  }

  readHealth(): readonly (HealthReport & { readonly name: string })[] {
    const details = {
      transport: this.#driver.name,
      phase: this.#life.state,
      handlers: this.#server.handlers.size,
      subscriptions: this.#events.bus.subscriptions.size,
      inFlight: this.#server.running.size + this.#requests.inFlight,
      queued: this.#events.bus.queued,
      lag: this.#events.lag,
      unsent: this.#events.outbox.waiting,
      deadLetters: this.#events.bus.deadLetterCount,
    };
    const { awayReason } = this.#connection;
    return brokerHealth(details, { awayReason, noRoom: this.#events.bus.noRoom });
  }

  #host(): DriverHost {
    return {
      onConnected: () => this.#onConnected(),
      onDisconnected: (reason) => this.#onDisconnected(reason),
      onReply: (id, reply) => this.#requests.onReply(id, reply),
      onNoResponder: (id) => this.#requests.onNoResponder(id),
      onRequestsRefused: (isMeant, reason) => this.#requests.onRefused(isMeant, reason),
      onRequestFailed: (id, reason, outcome) => this.#requests.onRequestFailed(id, reason, outcome),
      onFailure: (what, error) => this.#tellFailure(what, error),
    };
  }

  #onConnected(): void {
    if (this.#life.isStopped || !this.#connection.up()) return;
    // What waits may be for subscriptions of our own, which a first connection has yet to open.
    void atMost(this.#parts.clock, INTAKES_FIRST_MS, this.#intakes.openAll()).then(() => this.#events.outbox.flush());
  }

  #onDisconnected(reason: string): void {
    if (this.#life.isStopped || !this.#connection.away(reason)) return;
    this.#requests.onDisconnected(reason);
    this.#events.outbox.onDisconnected(reason);
  }

  async #publish(topic: string, payload: unknown, options: PublishOptions): Promise<PublishReceipt> {
    assertTopic(topic);
    this.#life.assertTakes(`The message for "${topic}"`);
    return this.#events.publish(topic, payload, options);
  }

  #requestChecked(key: string, payload: unknown, options: RequestOptions): Promise<unknown> {
    const ask = async (): Promise<unknown> => {
      // A failure to open is told elsewhere; the request itself finds out who else answers.
      await this.#server.opening(key)?.catch(() => undefined);
      return this.#requests.request(key, payload, options);
    };
    return askChecked(key, payload, { ...options, ask });
  }

  #tellFailure(what: string, error: unknown): void {
    this.#parts.events.emit('broker.transport-failed', { transport: this.#driver.name, what, error });
  }

  /** Others take over first; then what nobody here has begun is theirs as well. */
  async #windDown(): Promise<void> {
    const { bus, slots } = this.#events;
    await Promise.all(
      [...slots, ...this.#server.slots].map((slot) =>
        slot.stop().catch((error: unknown) => this.#tellFailure('the end of an intake', error)),
      ),
    );
    for (const subscription of bus.subscriptions) {
      subscription.handBack();
      subscription.hurry();
    }
  }

  get #isIdle(): boolean {
    const { bus, outbox } = this.#events;
    return bus.isIdle && this.#server.running.size === 0 && this.#requests.inFlight === 0 && outbox.size === 0;
  }

  #unfinished(): DrainReport['abandoned'] {
    const ours = [...this.#server.running, ...this.#requests.running, ...this.#events.outbox.underway];
    return [...agesOf(ours, this.#parts.clock.monotonic()), ...this.#events.bus.unfinished()];
  }
}
