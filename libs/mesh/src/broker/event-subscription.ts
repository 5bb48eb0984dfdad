import { AsyncLocalStorage } from 'node:async_hooks';
import type { DeadLetter, MessageHandler, Message, SubscribeOptions, Subscription } from '../core/broker.port.js';
import type { CallContext, CallContexts } from '../core/call-context.js';
import type { Clock, Timer } from '../core/clock.js';
import type { Ids } from '../core/ids.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MeshEvents } from '../core/mesh.events.js';
import { MessageBusyError } from './broker.errors.js';
import type { DeliveryMetrics } from './broker.metrics.js';
import type { SharedBrokerOptions } from './broker.options.js';
import { handlerResult } from './handler-result.js';
import { KeyedQueue } from './keyed-queue.js';
import type { DeliveredMessage } from './delivered.message.js';
import { isPermanent, redeliveryDelayMs } from './redelivery.js';
import type { Running } from './request-exchange.js';

/** Deliveries that may begin in one turn of the event loop, so that a flood of messages leaves room for everything else. */
const DELIVERIES_A_TURN = 128;

/** How soon a message in memory is looked at again whose id is being handled. */
const LOOK_AGAIN_MS = 1_000;

/** What a transport that keeps the message until it is settled does with it in the end. None of these rejects. */
export interface Settlement {
  /** It was handled. */
  ack(): Promise<void>;
  /** Deliver it again, to any member of the group. */
  retry(delayMs: number): Promise<void>;
  /** As `retry`, of a message that was not tried; no delivery where the transport need not count it as one. */
  putOff(delayMs: number): Promise<void>;
  /** Stores the letter, and only then acknowledges the message; whether that was done. */
  deadLetter(letter: DeadLetter): Promise<boolean>;
}

/** A message on its way to one subscription. */
export interface Delivery {
  readonly message: DeliveredMessage;
  readonly context: CallContext;
  /** Absent when the message lives in this process's memory alone. */
  readonly settlement?: Settlement;
}

/** What a subscription needs of its broker. */
export interface SubscriptionHost {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly events: MeshEvents;
  readonly contexts: CallContexts;
  readonly options: LiveOptions<SharedBrokerOptions>;
  readonly isConsuming: () => boolean;
  readonly isDraining: () => boolean;
  readonly onDeadLetter: (letter: DeadLetter, settlement: Settlement | undefined) => Promise<void> | void;
  readonly onIdle: () => void;
  /** It takes no more messages. */
  readonly onStop: (subscription: EventSubscription) => void;
  /** It takes no more messages and has finished those it had. */
  readonly onStopped: (subscription: EventSubscription) => void;
}

/**
 * The bounded queue of one subscription and the loop that works it: at most `concurrency` handlers at once and one of each
 * key, failures delivered again after a backoff, then given up as dead letters.
 */
export class EventSubscription implements Subscription {
  readonly #host: SubscriptionHost;
  readonly #handler: MessageHandler<never>;
  readonly #metrics: DeliveryMetrics;
  readonly #own: SubscribeOptions;
  readonly #queue = new KeyedQueue<Delivery>(({ message }) => message.key);
  readonly #running = new Set<Running>();
  readonly #waiting = new Map<Delivery, Timer>();
  // The loop is started by whoever publishes: without this a handler would see that publisher's async context.
  readonly #inOwnContext = AsyncLocalStorage.snapshot();
  #scheduled = false;
  #left = DELIVERIES_A_TURN;
  #stopped: PromiseWithResolvers<void> | undefined;
  #handled = 0;

  constructor(
    readonly topic: string,
    readonly name: string,
    host: SubscriptionHost,
    handling: {
      readonly handler: MessageHandler<never>;
      readonly options: SubscribeOptions;
      readonly metrics: DeliveryMetrics;
    },
  ) {
    this.#host = host;
    this.#handler = handling.handler;
    this.#own = handling.options;
    this.#metrics = handling.metrics;
  }

  get group(): string | undefined {
    return this.#own.group || undefined;
  }

  /** Messages that wait, for their turn or for their next delivery. */
  get queued(): number {
    return this.#queue.length + this.#waiting.size;
  }

  get running(): ReadonlySet<Running> {
    return this.#running;
  }

  /** Deliveries that ended, well or not, since the subscription began. */
  get handled(): number {
    return this.#handled;
  }

  get maxQueued(): number {
    return this.#host.options.current.subscribe.maxQueued;
  }

  get hasRoom(): boolean {
    return this.queued < this.maxQueued;
  }

  get isIdle(): boolean {
    return this.#running.size === 0 && this.queued === 0;
  }

  accept(delivery: Delivery): void {
    this.#queue.push(delivery);
    this.wake();
  }

  /** Fails the delivery without its handler: the message itself is no good. */
  refuse(delivery: Delivery, error: unknown): void {
    void this.#onFailure(delivery, error);
  }

  /** Works the queue soon, never in the caller's stack. */
  wake(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#inOwnContext(() => this.#work());
    });
  }

  /** Delivers at once what waits for its next delivery: a process that ends has no later. */
  hurry(): void {
    for (const [delivery, timer] of this.#waiting) {
      timer.cancel();
      this.#queue.push(delivery);
    }
    this.#waiting.clear();
    this.wake();
  }

  stop(): Promise<void> {
    if (this.#stopped) return this.#stopped.promise;
    this.#stopped = Promise.withResolvers<void>();
    this.#host.onStop(this);
    this.handBack();
    this.hurry();
    if (!this.#host.isConsuming()) this.abandon();
    this.#checkIdle();
    return this.#stopped.promise;
  }

  /** What has not started. */
  waiting(): readonly Delivery[] {
    return [...this.#waiting.keys(), ...this.#queue];
  }

  /** Returns to the transport what it keeps and no handler has begun. */
  handBack(): void {
    if (![...this.#queue].some(({ settlement }) => settlement)) return;
    for (const delivery of this.#queue.takeAll()) {
      if (delivery.settlement) void delivery.settlement.retry(0);
      else this.#queue.push(delivery);
    }
  }

  /** Gives up what has not started: it becomes dead letters. */
  abandon(): void {
    this.handBack();
    const left = this.waiting();
    for (const timer of this.#waiting.values()) timer.cancel();
    this.#waiting.clear();
    this.#queue.takeAll();
    const error = new Error(
      `The subscription "${this.name}" of "${this.topic}" stopped before the message was delivered.`,
    );
    for (const delivery of left) void this.#deadLetter(delivery, delivery.message.attempt - 1, error);
  }

  /** Goes on when everything else in the event loop had its turn. */
  #yield(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#left = DELIVERIES_A_TURN;
      this.#inOwnContext(() => this.#work());
    });
  }

  #work(): void {
    const concurrency = this.#own.concurrency ?? this.#host.options.current.subscribe.concurrency;
    while (this.#host.isConsuming() && this.#running.size < concurrency) {
      if (this.#left === 0) return this.#yield();
      const delivery = this.#queue.shift();
      if (!delivery) break;
      this.#left--;
      void this.#deliver(delivery);
    }
  }

  async #deliver(delivery: Delivery): Promise<void> {
    const running: Running = { name: this.name, startedAt: this.#host.clock.monotonic() };
    this.#running.add(running);
    const { message, context, settlement } = delivery;
    try {
      await this.#host.contexts.run(context, () => handlerResult(this.#invoke(message)));
      this.#observe(running);
      this.#metrics.ok.inc();
      if (settlement) await settlement.ack();
    } catch (error) {
      this.#observe(running);
      const isPutOff = error instanceof MessageBusyError && this.#hasLater(delivery);
      const settling = isPutOff ? this.#putOff(delivery, error) : this.#onFailure(delivery, error);
      if (settling) await settling;
    }
    this.#running.delete(running);
    this.#queue.release(delivery);
    this.#handled++;
    this.#work();
    this.#checkIdle();
  }

  /** The handler's own time: what the transport needs for the acknowledgement is not in it. */
  #observe({ startedAt }: Running): void {
    this.#metrics.duration.observe((this.#host.clock.monotonic() - startedAt) / 1_000);
  }

  async #invoke(message: Message): Promise<unknown> {
    return this.#handler(message.payload as never, message as Message<never>);
  }

  #onFailure(delivery: Delivery, error: unknown): Promise<void> | void {
    const { message, context } = delivery;
    const defaults = this.#host.options.current.subscribe;
    const { maxDeliver = defaults.maxDeliver, backoffMs = defaults.backoffMs } = this.#own;
    this.#metrics.failed.inc();
    const last = message.attempt >= maxDeliver || isPermanent(error) || !this.#hasLater(delivery);
    const retryInMs = last ? undefined : redeliveryDelayMs(backoffMs, message.attempt, this.#host.ids.random());
    const failure = {
      topic: this.topic,
      handler: this.name,
      error,
      messageId: message.id,
      attempt: message.attempt,
      ...(retryInMs !== undefined && { retryInMs }),
    };
    // In the message's context, whose ids lead from the log line to the request behind it.
    this.#host.contexts.run(context, () => this.#host.events.emit('broker.handler-failed', failure));
    if (retryInMs === undefined) return this.#deadLetter(delivery, message.attempt, error);
    return this.#again(delivery, message.attempt + 1, retryInMs);
  }

  /** Nobody has failed: whoever handles the message now either finishes it or lets it go. */
  #putOff(delivery: Delivery, busy: MessageBusyError): Promise<void> | void {
    this.#metrics.busy.inc();
    // Each look is a way to the server and back, and some servers count it as a delivery.
    if (delivery.settlement) return delivery.settlement.putOff(busy.retryAfterMs);
    return this.#again(delivery, delivery.message.attempt, Math.min(busy.retryAfterMs, LOOK_AGAIN_MS));
  }

  /** What lives in memory has no later when the process ends; what the transport keeps has. */
  #hasLater({ settlement }: Delivery): boolean {
    return settlement !== undefined || !(this.#host.isDraining() || this.#stopped);
  }

  #again({ message, context, settlement }: Delivery, attempt: number, retryInMs: number): Promise<void> | void {
    if (settlement) return settlement.retry(retryInMs);
    const again: Delivery = { message: message.asAttempt(attempt), context };
    const timer = this.#host.clock.setTimer(() => {
      this.#waiting.delete(again);
      this.accept(again);
    }, retryInMs);
    this.#waiting.set(again, timer);
  }

  #deadLetter({ message, context, settlement }: Delivery, attempts: number, error: unknown): Promise<void> | void {
    this.#metrics.deadLettered.inc();
    const letter = { message, handler: this.name, attempts, error, failedAt: this.#host.clock.now() };
    return this.#host.contexts.run(context, () => this.#host.onDeadLetter(letter, settlement));
  }

  #checkIdle(): void {
    if (!this.isIdle) return;
    if (this.#stopped) {
      this.#host.onStopped(this);
      this.#stopped.resolve();
    }
    this.#host.onIdle();
  }
}
