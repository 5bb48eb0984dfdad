import type { Subscription } from 'rxjs';
import type { Clock } from '../../core/clock.js';
import type { Ids } from '../../core/ids.js';
import { messageOf } from '../../core/message-of.js';
import { PayloadError } from '../broker.errors.js';
import { atMost } from '../transport/at-most.js';
import { HEADER, type Headers } from '../transport/message-headers.js';
import { decodePayload } from '../transport/payload.codec.js';
import type { OutgoingMessage, OutgoingRequest } from '../transport/transport-driver.port.js';
import { type NestAnswer, NestReply } from './nest-reply.js';
import type { NestPacket, NestProxy, NestTransport } from './nest-transport.js';
import { probePattern } from './probe-pattern.js';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
const CLOSE_MS = 1_000;
/** What Nest's clients tell of their connection while it works. */
const WELL = new Set(['connected', 'blocked', 'unblocked']);

/** What transports implement, and `send` and `emit` call: without their Observables, and with `undefined` as a payload. */
interface DispatchingClient {
  connect(): Promise<unknown>;
  publish(packet: NestPacket, onAnswer: (answer: NestAnswer) => void): () => void;
  dispatchEvent(packet: NestPacket): Promise<unknown>;
}

export interface ClientHost {
  readonly clock: Clock;
  readonly ids: Ids;
  onUp(): void;
  onDown(reason: string): void;
  onFailure(what: string, error: unknown): void;
  /** Ends the request; this or `onUnsent` is called once for each that `request` took. */
  onReply(requestId: string, reply: NestReply): void;
  onUnsent(requestId: string, reason: string): void;
}

/** Nest's client of one transport, made to reconnect for ever, and to forget nothing that waits. */
export class NestClient {
  readonly #transport: NestTransport;
  readonly #host: ClientHost;
  readonly #ending = new AbortController();
  /** How Nest is told that nobody waits for a request any more. */
  readonly #waiting = new Map<string, () => void>();
  #proxy: NestProxy | undefined;
  #statuses: Subscription | undefined;
  #isUp = false;

  constructor(transport: NestTransport, host: ClientHost) {
    this.#transport = transport;
    this.#host = host;
  }

  /** Connects, trying until the signal aborts; and again whenever the connection breaks. */
  async start(signal: AbortSignal): Promise<void> {
    const proxy = (this.#proxy = this.#transport.createClient());
    await this.#comeUp(AbortSignal.any([signal, this.#ending.signal]));
    this.#statuses = proxy.status.subscribe((status: string) => this.#onStatus(status));
  }

  /** @throws when it certainly was not sent. */
  request({ timeoutMs, ...message }: OutgoingRequest): void {
    const { id } = message;
    const headers: Headers = { ...message.headers, [HEADER.timeoutMs]: String(timeoutMs) };
    const isProbe = headers[HEADER.probe] !== undefined;
    const pattern = isProbe ? probePattern(message.name) : message.name;
    const packet = this.#packet({ ...message, headers }, pattern);
    const ready = this.#transport.beforeRequest(this.#opened, pattern);
    if (!ready) return this.#send(id, packet);
    this.#waiting.set(id, () => undefined);
    ready
      .then(() => this.#waiting.has(id) && this.#send(id, packet))
      .catch((error: unknown) => {
        if (this.#waiting.delete(id)) this.#host.onUnsent(id, messageOf(error));
      });
  }

  /** Nobody waits for the answer any more. */
  forget(requestId: string): void {
    this.#waiting.get(requestId)?.();
    this.#waiting.delete(requestId);
  }

  /** Resolves when the message left, as far as the transport tells. */
  async publish(message: OutgoingMessage): Promise<void> {
    await this.#dispatching.dispatchEvent(this.#packet(message, message.name)).catch((error: Error) => {
      throw this.#asRefusal(error);
    });
    await this.#transport.dispatched(this.#opened);
  }

  async stop(): Promise<void> {
    this.#ending.abort(new Error("The connection of Nest's transport is closed."));
    this.#statuses?.unsubscribe();
    this.forgetAll();
    const { clock } = this.#host;
    if (this.#proxy) await atMost(clock, CLOSE_MS, Promise.resolve(this.#proxy.close()));
  }

  /** Their answers will not come: what waits for them is the broker's to reject. */
  forgetAll(): void {
    for (const forget of this.#waiting.values()) forget();
    this.#waiting.clear();
  }

  get #opened(): NestProxy {
    if (!this.#proxy) throw new Error("The connection of Nest's transport is not open.");
    return this.#proxy;
  }

  get #dispatching(): DispatchingClient {
    return this.#opened as unknown as DispatchingClient;
  }

  #packet({ id, headers, body }: OutgoingMessage, pattern: string): NestPacket {
    return this.#transport.packet(pattern, decodePayload(body), { ...headers, [HEADER.id]: id });
  }

  #send(id: string, packet: NestPacket): void {
    const reply = new NestReply();
    let isSent = false;
    const forget = this.#dispatching.publish(packet, (answer) => {
      if (reply.take(answer) && isSent) this.#end(id, reply);
    });
    if (reply.failedHere) throw this.#asRefusal(reply.error as Error);
    isSent = true;
    this.#waiting.set(id, forget);
  }

  #asRefusal(error: Error): Error {
    if (!this.#transport.refuses(error)) return error;
    return new PayloadError(`A message can't be sent via ${this.#transport.name}: ${error.message}.`);
  }

  #end(id: string, reply: NestReply): void {
    const forget = this.#waiting.get(id);
    if (!forget) return;
    this.#waiting.delete(id);
    // Nest counts the waiting ones of a channel only when they are told to have ended.
    forget();
    this.#host.onReply(id, reply);
  }

  #onStatus(status: string): void {
    if (this.#ending.signal.aborted) return;
    // Nest tells it first, and does its own part of it then.
    if (!WELL.has(status)) this.#onDown(status);
    else if (!this.#isUp) queueMicrotask(() => this.#tryUp(this.#ending.signal).catch(ignore));
  }

  #onDown(status: string): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    this.#host.onDown(`Nest's client says "${status}"`);
    queueMicrotask(() => this.#comeUp(this.#ending.signal).catch(ignore));
  }

  /** Some of Nest's clients reconnect by themselves, and refuse to connect until they have; the others are made to. */
  async #comeUp(signal: AbortSignal): Promise<void> {
    const { clock, ids, onFailure } = this.#host;
    const what = `the connection via ${this.#transport.name}`;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        return await this.#tryUp(signal);
      } catch (error) {
        signal.throwIfAborted();
        if (pauseMs === FIRST_PAUSE_MS) onFailure(what, error);
        await clock.sleep(Math.round(pauseMs * (0.5 + ids.random() / 2)), signal).catch(() => {
          throw new Error(`No success with ${what}: ${messageOf(error)}`, { cause: error });
        });
      }
    }
  }

  async #tryUp(signal: AbortSignal): Promise<void> {
    await this.#connectOnce(signal);
    await this.#transport.restored(this.#opened);
    if (this.#isUp || this.#ending.signal.aborted) return;
    this.#transport.onConnected(this.#opened);
    this.#isUp = true;
    this.#host.onUp();
  }

  /** A peer that takes no connection and refuses none would keep Nest waiting for minutes. */
  async #connectOnce(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    await Promise.race([this.#dispatching.connect(), aborted]).finally(() =>
      signal.removeEventListener('abort', onAbort),
    );
  }
}

function ignore(): void {
  // Whoever asked is told by the next status, or gone.
}
