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
import type { Timer } from '../../core/clock.js';
import type { HealthReport, HealthSource } from '../../core/health.port.js';
import type { LiveOptions } from '../../core/live-options.js';
import { DrainingError } from '../../core/mesh.errors.js';
import type { BrokerCollaborators } from '../broker-collaborators.js';
import { CapabilityMissingError } from '../broker.errors.js';
import { BrokerMetrics } from '../broker.metrics.js';
import type { RemoteBrokerOptions } from '../broker.options.js';
import type { DedupeStore } from '../dedupe/dedupe.store.js';
import { assertSubscribeOptions, assertTopic } from '../handler-preparation.js';
import { patternKey } from '../message-pattern.js';
import { checked, conforming } from '../payload-schema.js';
import { waitForPatterns } from '../wait-for.js';
import { assertCapabilities } from './capabilities.js';
import type { IntakeSlot } from './intake-slot.js';
import { PendingRequests } from './pending-requests.js';
import { RemoteEvents } from './remote-events.js';
import { RequestServer } from './request-server.js';
import type { DriverHost, TransportDriver } from './transport-driver.port.js';

/** Pause before an intake that could not be opened is tried again. */
const REOPEN_MS = 1_000;

/**
 * `open`: everything is taken. `draining`: only what running work asks for. `drained`: everything that goes out again, for
 * the hooks of the user's code that run between the drain and the stop. `stopped`: nothing.
 */
type BrokerState = 'open' | 'draining' | 'drained' | 'stopped';

interface TimeLimit {
  readonly promise: Promise<void>;
  cancel(): void;
}

/** A broker whose messages travel over a server. What is the same over every kind of server is here and beside; the rest is the driver's. */
export class TransportBroker extends MessageBroker implements HealthSource, MessageServer {
  readonly #options: LiveOptions<RemoteBrokerOptions>;
  readonly #driver: TransportDriver;
  readonly #parts: BrokerCollaborators & { readonly dedupe: DedupeStore };
  readonly #requests: PendingRequests;
  readonly #server: RequestServer;
  readonly #events: RemoteEvents;
  readonly #ending = new AbortController();
  #state: BrokerState = 'open';
  #awayReason: string | undefined = 'it was not started';
  #consuming = false;
  #reopening: Timer | undefined;
  #drain: Promise<DrainReport> | undefined;
  #onIdle: () => void = () => undefined;

  constructor(
    options: LiveOptions<RemoteBrokerOptions>,
    driver: TransportDriver,
    parts: BrokerCollaborators & { readonly dedupe: DedupeStore },
  ) {
    super();
    this.#options = options;
    this.#driver = driver;
    this.#parts = parts;
    const { service } = parts;
    const metrics = new BrokerMetrics(parts.metrics);
    const onIdle = (): void => this.#onIdle();
    const isConnected = (): boolean => this.#awayReason === undefined;
    this.#requests = new PendingRequests(options, {
      ...parts,
      driver,
      metrics,
      onIdle,
      awayReason: () => this.#awayReason,
    });
    this.#server = new RequestServer(options, { ...parts, driver, metrics, onIdle, service: service.name });
    this.#events = new RemoteEvents(options, {
      ...parts,
      driver,
      metrics,
      onIdle,
      isConnected,
      isConsuming: () => this.#consuming,
      isDraining: () => this.#state !== 'open',
    });
    const { bus, outbox } = this.#events;
    metrics.observeLoad({
      requests: () => this.#server.running.size,
      deliveries: () => bus.running,
      queued: () => bus.queued,
      deadLetters: () => bus.deadLetterCount,
      unsent: () => outbox.waiting,
      lag: () => this.#events.lag,
      connected: () => (isConnected() ? 1 : 0),
    });
  }

  /** Connects and opens the subscriptions. What comes in waits until {@link startConsuming}. */
  async start({ signal }: ComponentContext): Promise<void> {
    const { required } = this.#options.current;
    const until = required ? AbortSignal.any([signal, this.#ending.signal]) : this.#ending.signal;
    const connected = this.#driver.start(this.#host(), until);
    if (required) {
      await connected;
      await Promise.all([...this.#events.slots].map((slot) => slot.ensure()));
    } else connected.catch((error: unknown) => this.#tellFailure('the start', error));
  }

  override request<R = unknown>(pattern: MessagePattern, payload?: unknown, options: RequestOptions = {}): Promise<R> {
    try {
      const key = patternKey(pattern);
      this.#refuseUnlessOpen(`The request "${key}"`);
      const opening = this.#server.opening(key);
      const isPlain = !options.schema && !options.answerSchema && !opening;
      return (
        isPlain ? this.#requests.request(key, payload, options) : this.#requestChecked(key, payload, options)
      ) as Promise<R>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  override async publish(topic: string, payload?: unknown, options: PublishOptions = {}): Promise<PublishReceipt> {
    assertTopic(topic);
    this.#refuseUnlessOpen(`The message for "${topic}"`);
    return this.#events.publish(topic, payload, options);
  }

  override async subscribe<T = unknown>(
    topic: string,
    handler: MessageHandler<T>,
    options: SubscribeOptions = {},
  ): Promise<Subscription> {
    assertTopic(topic);
    assertSubscribeOptions(topic, options);
    assertCapabilities(this.#driver, topic, options);
    if (this.#state !== 'open') throw new DrainingError(`The subscription to "${topic}"`);
    return this.#events.subscribe(topic, handler as MessageHandler<never>, options);
  }

  serve(pattern: unknown, handler: RequestHandler, options: ServeOptions = {}): () => void {
    const key = patternKey(pattern);
    const { name = handler.name || 'anonymous', schema } = options;
    const bound = schema ? (checked(schema, `The request "${key}"`, handler) as RequestHandler) : handler;
    const slot = this.#server.serve(key, name, bound);
    if (this.#consuming && this.#awayReason === undefined) this.#open([slot]);
    return () => {
      this.#server.remove(key, slot);
      slot.stop().catch((error: unknown) => this.#tellFailure(`the end of "${key}"`, error));
    };
  }

  /** The patterns that are answered, by the name of their handler. */
  get handlers(): ReadonlyMap<string, string> {
    return this.#server.handlers;
  }

  /** Begins to answer requests and to deliver messages. */
  startConsuming(): void {
    if (this.#state === 'stopped') return;
    this.#consuming = true;
    if (this.#awayReason === undefined) this.#open(this.#server.slots);
    for (const subscription of this.#events.bus.subscriptions) subscription.wake();
  }

  /** Delivers nothing until {@link startConsuming}: messages wait, running handlers finish, requests are answered. */
  pauseConsuming(): void {
    this.#consuming = false;
    this.#onIdle();
  }

  override waitFor(patterns: readonly MessagePattern[], options: WaitForOptions = {}): Promise<void> {
    if (!this.#driver.capabilities.noResponder)
      return Promise.reject(
        new CapabilityMissingError(
          this.#driver.name,
          'tell whether a pattern is served',
          'send a request and mind its timeout',
        ),
      );
    const isServed = (pattern: string): Promise<boolean> => this.#requests.probe(pattern);
    return waitForPatterns(patterns.map(patternKey), isServed, { ...options, clock: this.#parts.clock });
  }

  /** Of what the server stores, its own dead letters; of plain events those in this process's memory. */
  override deadLetters(topic: string): DeadLetters {
    return this.#driver.deadLetters?.(topic) ?? this.#events.bus.deadLetters(topic);
  }

  override drain(options: DrainOptions): Promise<DrainReport> {
    this.#drain ??= this.#drainOnce(options);
    return this.#drain;
  }

  /**
   * Takes nothing more, hands back what did not begin, rejects what still waits and closes the connection. What was asked
   * for since the drain is waited for, until `deadlineAt`.
   */
  async stop({ deadlineAt = 0 }: Partial<DrainOptions> = {}): Promise<void> {
    if (this.#state === 'stopped') return;
    if (this.#state === 'drained') await this.#idleOr(this.#timeIsOver(deadlineAt));
    this.#state = 'stopped';
    this.#consuming = false;
    this.#ending.abort(new DrainingError('The connection'));
    this.#reopening?.cancel();
    for (const subscription of this.#events.bus.subscriptions) subscription.abandon();
    this.#requests.stop();
    this.#server.stop();
    this.#events.outbox.stop();
    this.#onIdle();
    await this.#driver.stop();
    await this.#parts.dedupe.stop();
  }

  readHealth(): readonly (HealthReport & { readonly name: string })[] {
    const details = {
      transport: this.#driver.name,
      state: this.#state,
      handlers: this.#server.handlers.size,
      subscriptions: this.#events.bus.subscriptions.size,
      inFlight: this.#server.running.size + this.#requests.inFlight,
      queued: this.#events.bus.queued,
      lag: this.#events.lag,
      unsent: this.#events.outbox.waiting,
      deadLetters: this.#events.bus.deadLetterCount,
    };
    if (this.#awayReason === undefined) return [{ name: 'broker', status: 'up', details }];
    return [{ name: 'broker', status: 'down', reason: `The connection is away: ${this.#awayReason}`, details }];
  }

  #host(): DriverHost {
    return {
      onConnected: () => this.#onConnected(),
      onDisconnected: (reason) => this.#onDisconnected(reason),
      onReply: (id, reply) => this.#requests.onReply(id, reply),
      onNoResponder: (id) => this.#requests.onNoResponder(id),
      onRequestFailed: (id, reason) => this.#requests.onRequestFailed(id, reason),
      onFailure: (what, error) => this.#tellFailure(what, error),
    };
  }

  #onConnected(): void {
    if (this.#awayReason === undefined || this.#state === 'stopped') return;
    this.#awayReason = undefined;
    this.#parts.events.emit('broker.connection', { transport: this.#driver.name, state: 'up', reason: 'connected' });
    this.#events.outbox.flush();
    this.#openAll();
  }

  #onDisconnected(reason: string): void {
    if (this.#awayReason !== undefined) return;
    this.#awayReason = reason;
    this.#requests.onDisconnected(reason);
    this.#events.outbox.onDisconnected(reason);
    if (this.#state !== 'stopped')
      this.#parts.events.emit('broker.connection', { transport: this.#driver.name, state: 'away', reason });
  }

  #openAll(): void {
    this.#open([...this.#events.slots, ...(this.#consuming ? this.#server.slots : [])]);
  }

  /** Opens what is not open; what fails is tried again until it works. */
  #open(slots: readonly IntakeSlot[]): void {
    if (this.#state !== 'open') return;
    for (const slot of slots)
      slot.ensure().catch((error: unknown) => {
        this.#tellFailure('a subscription', error);
        this.#reopening ??= this.#parts.clock.setTimer(() => {
          this.#reopening = undefined;
          if (this.#awayReason === undefined) this.#openAll();
        }, REOPEN_MS);
      });
  }

  async #requestChecked(key: string, payload: unknown, options: RequestOptions): Promise<unknown> {
    const { schema, answerSchema } = options;
    if (schema) await conforming(schema, payload, `The request "${key}"`);
    // A failure to open is told elsewhere; the request itself finds out who else answers.
    await this.#server.opening(key)?.catch(() => undefined);
    const answer = await this.#requests.request(key, payload, options);
    return answerSchema ? conforming(answerSchema, answer, `The answer to "${key}"`) : answer;
  }

  /** While draining, work that was accepted earlier may ask for more; it runs in a call context, a stray timer does not. */
  #refuseUnlessOpen(what: string): void {
    if (this.#state === 'open' || this.#state === 'drained') return;
    if (this.#state === 'stopped' || !this.#parts.contexts.current()) throw new DrainingError(what);
  }

  #tellFailure(what: string, error: unknown): void {
    this.#parts.events.emit('broker.transport-failed', { transport: this.#driver.name, what, error });
  }

  async #drainOnce({ deadlineAt }: DrainOptions): Promise<DrainReport> {
    const { clock, events } = this.#parts;
    const startedAt = clock.monotonic();
    const finishedBefore = this.#server.finished + this.#events.bus.handled;
    if (this.#state === 'open') this.#state = 'draining';
    const closed = [...this.#events.slots, ...this.#server.slots].map((slot) =>
      slot.stop().catch((error: unknown) => this.#tellFailure('the end of an intake', error)),
    );
    const isOver = this.#timeIsOver(deadlineAt);
    await Promise.race([Promise.all(closed), isOver.promise]);
    for (const subscription of this.#events.bus.subscriptions) {
      subscription.handBack();
      subscription.hurry();
    }
    await this.#idleOr(isOver);
    if (this.#state === 'draining') this.#state = 'drained';
    const finished = this.#server.finished + this.#events.bus.handled - finishedBefore;
    const report = { finished, abandoned: this.#unfinished() };
    events.emit('broker.drained', { ...report, durationMs: clock.monotonic() - startedAt });
    return report;
  }

  #timeIsOver(deadlineAt: number): TimeLimit {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { clock } = this.#parts;
    const timer = clock.setTimer(resolve, Math.max(0, deadlineAt - clock.now()));
    return { promise, cancel: () => timer.cancel() };
  }

  async #idleOr(limit: TimeLimit): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onIdle = () => {
      if (this.#isIdle) resolve();
    };
    this.#onIdle();
    await Promise.race([promise, limit.promise]);
    limit.cancel();
    this.#onIdle = () => undefined;
  }

  get #isIdle(): boolean {
    const { running, queued } = this.#events.bus;
    if (running > 0 || (this.#consuming && queued > 0)) return false;
    return this.#server.running.size === 0 && this.#requests.inFlight === 0 && this.#events.outbox.size === 0;
  }

  #unfinished(): DrainReport['abandoned'] {
    const now = this.#parts.clock.monotonic();
    const handlers = [...this.#server.running].map(({ name, startedAt }) => ({ name, ageMs: now - startedAt }));
    return [...handlers, ...this.#events.bus.unfinished()];
  }
}
