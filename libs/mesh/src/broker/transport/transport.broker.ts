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
import { DrainingError, MeshConfigError } from '../../core/mesh.errors.js';
import type { Counter } from '../../core/metrics.port.js';
import type { BrokerCollaborators } from '../broker-collaborators.js';
import { CapabilityMissingError, PublishUnconfirmedError } from '../broker.errors.js';
import { BrokerMetrics } from '../broker.metrics.js';
import type { RemoteBrokerOptions } from '../broker.options.js';
import type { DedupeStore } from '../dedupe/dedupe.store.js';
import { EventBus } from '../event-bus.js';
import { assertSubscribeOptions, assertTopic, prepareHandler } from '../handler-preparation.js';
import { patternKey } from '../message-pattern.js';
import { checked, conforming } from '../payload-schema.js';
import { waitForPatterns } from '../wait-for.js';
import { assertCapabilities } from './capabilities.js';
import { eventIntake } from './event-intake.js';
import { IntakeSlot } from './intake-slot.js';
import { assertHeaders, contextHeaders, HEADER } from './message-headers.js';
import { Outbox } from './outbox.js';
import { encodePayload } from './payload.codec.js';
import { PendingRequests } from './pending-requests.js';
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
  readonly #metrics: BrokerMetrics;
  readonly #requests: PendingRequests;
  readonly #server: RequestServer;
  readonly #outbox: Outbox;
  readonly #bus: EventBus;
  readonly #eventSlots = new Set<IntakeSlot>();
  readonly #groups = new Set<string>();
  readonly #published = new Map<string, Counter>();
  readonly #ending = new AbortController();
  #state: BrokerState = 'open';
  #awayReason: string | undefined = 'it was not started';
  #isStarted = false;
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
    const { clock, ids, events, contexts, service } = parts;
    const metrics = (this.#metrics = new BrokerMetrics(parts.metrics));
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
    this.#outbox = new Outbox({ clock, driver, options, isConnected, onIdle });
    const isConsuming = (): boolean => this.#consuming;
    const isDraining = (): boolean => this.#state !== 'open';
    this.#bus = new EventBus({ clock, ids, events, contexts, options, isConsuming, isDraining, onIdle }, metrics);
    metrics.observeLoad({
      requests: () => this.#server.running.size,
      deliveries: () => this.#bus.running,
      queued: () => this.#bus.queued,
      deadLetters: () => this.#bus.deadLetterCount,
      unsent: () => this.#outbox.waiting,
      lag: () => this.#lag,
      connected: () => (isConnected() ? 1 : 0),
    });
  }

  /** Connects and opens the subscriptions. What comes in waits until {@link startConsuming}. */
  async start({ signal }: ComponentContext): Promise<void> {
    const { required } = this.#options.current;
    const until = required ? AbortSignal.any([signal, this.#ending.signal]) : this.#ending.signal;
    const connected = this.#driver.start(this.#host(), until);
    this.#isStarted = true;
    if (required) {
      await connected;
      await Promise.all([...this.#eventSlots].map((slot) => slot.ensure()));
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
    const { guarantee = 'sent', schema, headers, key, id = this.#parts.ids.next() } = options;
    const what = `The message for "${topic}"`;
    this.#refuseUnlessOpen(what);
    if (guarantee === 'confirmed' && !this.#driver.capabilities.confirmed)
      throw new CapabilityMissingError(
        this.#driver.name,
        `confirm a message for "${topic}"`,
        "publish with guarantee 'sent'",
      );
    if (headers) assertHeaders(headers, what);
    if (schema) await conforming(schema, payload, what);
    const { contexts, clock, service } = this.#parts;
    const current = contexts.current();
    const sent = contextHeaders(headers, current);
    sent[HEADER.source] = `${service.name}/${service.instance}`;
    sent[HEADER.sentAt] = String(clock.now());
    if (key !== undefined) sent[HEADER.key] = key;
    assertHeaders(sent, what);
    const { timeoutMs = this.#options.current.requestTimeoutMs } = options;
    const leftMs = Math.min(timeoutMs, (current?.deadlineAt ?? Infinity) - clock.now());
    if (leftMs <= 0) throw new PublishUnconfirmedError(topic, 'unsent', "the caller's time is over");
    await this.#counted(
      topic,
      this.#outbox.publish({ id, name: topic, headers: sent, body: encodePayload(payload) }, guarantee, leftMs),
    );
    return { id };
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
    const name = options.name ?? (handler.name || 'anonymous');
    const group = options.group ?? this.#defaultGroup(topic, name);
    const { events, dedupe: store } = this.#parts;
    const parts = { events, metrics: this.#metrics, options: this.#options, store };
    const prepared = prepareHandler(topic, handler as MessageHandler<never>, { ...options, name, group }, parts);
    const subscription = this.#bus.subscribe(topic, prepared, { ...options, name, group });
    const take = eventIntake(subscription, {
      transport: this.#driver.name,
      events,
      dropped: this.#metrics.counter(topic, 'deliver', 'dropped'),
    });
    const spec = {
      topic,
      group,
      durable: options.guarantee === 'atLeastOnce',
      concurrency: options.concurrency ?? this.#options.current.subscribe.concurrency,
    };
    const slot = new IntakeSlot(() => this.#driver.consume(spec, take));
    this.#eventSlots.add(slot);
    if (this.#awayReason === undefined) await slot.ensure();
    return {
      topic,
      stop: async () => {
        this.#eventSlots.delete(slot);
        this.#groups.delete(groupKey(topic, group));
        await slot.stop();
        await subscription.stop();
      },
    };
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
    for (const subscription of this.#bus.subscriptions) subscription.wake();
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
    return this.#driver.deadLetters?.(topic) ?? this.#bus.deadLetters(topic);
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
    for (const subscription of this.#bus.subscriptions) subscription.abandon();
    this.#requests.stop();
    this.#server.stop();
    this.#outbox.stop();
    this.#onIdle();
    await this.#driver.stop();
    await this.#parts.dedupe.stop();
  }

  readHealth(): readonly (HealthReport & { readonly name: string })[] {
    const details = {
      transport: this.#driver.name,
      state: this.#state,
      handlers: this.#server.handlers.size,
      subscriptions: this.#bus.subscriptions.size,
      inFlight: this.#server.running.size + this.#requests.inFlight,
      queued: this.#bus.queued,
      lag: this.#lag,
      unsent: this.#outbox.waiting,
      deadLetters: this.#bus.deadLetterCount,
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
    this.#outbox.flush();
    this.#openAll();
  }

  #onDisconnected(reason: string): void {
    if (this.#awayReason !== undefined) return;
    this.#awayReason = reason;
    this.#requests.onDisconnected(reason);
    this.#outbox.onDisconnected(reason);
    if (this.#state !== 'stopped')
      this.#parts.events.emit('broker.connection', { transport: this.#driver.name, state: 'away', reason });
  }

  #openAll(): void {
    this.#open([...this.#eventSlots, ...(this.#consuming ? this.#server.slots : [])]);
  }

  /** Opens what is not open; what fails is tried again until it works. */
  #open(slots: readonly IntakeSlot[]): void {
    if (this.#state !== 'open' || !this.#isStarted) return;
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

  async #counted(topic: string, published: Promise<void>): Promise<void> {
    try {
      await published;
    } catch (error) {
      this.#metrics.counter(topic, 'publish', 'failed').inc();
      throw error;
    }
    let counter = this.#published.get(topic);
    if (!counter) this.#published.set(topic, (counter = this.#metrics.counter(topic, 'publish', 'ok')));
    counter.inc();
  }

  #defaultGroup(topic: string, name: string): string {
    const group = `${this.#parts.service.name}.${name}`;
    const key = groupKey(topic, group);
    if (this.#groups.has(key))
      throw new MeshConfigError(
        `Two subscriptions to "${topic}" are named "${name}" and would share its messages; give one of them a name, or both a group.`,
      );
    this.#groups.add(key);
    return group;
  }

  get #lag(): number {
    let lag = 0;
    for (const slot of this.#eventSlots) lag += slot.lag;
    return lag;
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
    const finishedBefore = this.#server.finished + this.#bus.handled;
    if (this.#state === 'open') this.#state = 'draining';
    const closed = [...this.#eventSlots, ...this.#server.slots].map((slot) =>
      slot.stop().catch((error: unknown) => this.#tellFailure('the end of an intake', error)),
    );
    const isOver = this.#timeIsOver(deadlineAt);
    await Promise.race([Promise.all(closed), isOver.promise]);
    for (const subscription of this.#bus.subscriptions) {
      subscription.handBack();
      subscription.hurry();
    }
    await this.#idleOr(isOver);
    if (this.#state === 'draining') this.#state = 'drained';
    const finished = this.#server.finished + this.#bus.handled - finishedBefore;
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
    const { running, queued } = this.#bus;
    if (running > 0 || (this.#consuming && queued > 0)) return false;
    return this.#server.running.size === 0 && this.#requests.inFlight === 0 && this.#outbox.size === 0;
  }

  #unfinished(): DrainReport['abandoned'] {
    const now = this.#parts.clock.monotonic();
    const handlers = [...this.#server.running].map(({ name, startedAt }) => ({ name, ageMs: now - startedAt }));
    return [...handlers, ...this.#bus.unfinished()];
  }
}

function groupKey(topic: string, group: string | false): string {
  return `${topic}\n${String(group)}`;
}
