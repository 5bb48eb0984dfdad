import type { DeadLetter, DeadLetters } from '../../core/broker.port.js';
import type { Outcome } from '../broker.errors.js';

/** What a transport can truly do. Asking for more is refused: subscriptions at boot, calls when they are made. */
export interface TransportCapabilities {
  /** `publish` with `confirmed`: resolves after the server stored the message. */
  readonly confirmed: boolean;
  /** `atLeastOnce` subscriptions: stored for the group, acknowledged after success, redelivered, dead-lettered. */
  readonly durable: boolean;
  /** Members of a group in several instances share the messages. Without it every subscription gets every message. */
  readonly groups: boolean;
  /** `group: false`: every instance gets every message. */
  readonly broadcast: boolean;
  /** `replay`: a subscription can begin with everything that is stored of its topic. */
  readonly replay: boolean;
  /** Deadline, correlation, trace and the caller's own headers arrive. */
  readonly headers: boolean;
  /** A request that nobody serves fails at once instead of by its timeout. */
  readonly noResponder: boolean;
  /** It can be asked whether a pattern is served: `waitFor` needs it. @default as `noResponder` */
  readonly probes?: boolean;
  /** Handlers and subscriptions get anything at all. @default true */
  readonly inbound?: boolean;
  /** Present where requests go out and nothing else goes or comes: what to do instead. */
  readonly requestsOnly?: string;
  /** Present where events go out and nothing else goes or comes: what to do instead. */
  readonly eventsOnly?: string;
}

/** A payload in the form in which the transport carries it. */
export interface WireBody {
  readonly data: Uint8Array;
  /** Absent: JSON. */
  readonly contentType?: string;
}

/** A message that leaves. */
export interface OutgoingMessage {
  readonly id: string;
  /** The pattern of a request, the topic of an event. */
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: WireBody;
}

/** A request that leaves. */
export interface OutgoingRequest extends OutgoingMessage {
  /** How long the caller still waits: it travels along, in whatever way is the transport's own. A whole number. */
  readonly timeoutMs: number;
}

/** An answer, either way: a value, or the wire form of an error. */
export interface WireReply {
  readonly ok: boolean;
  readonly body: WireBody;
}

/** A request that arrived. */
export interface IncomingRequest {
  /** The sender's id of the request, as far as the transport shows it. */
  readonly id?: string;
  readonly headers: Readonly<Record<string, string>>;
  /** How long the sender still waits, where the transport has its own way to say so. @default as the headers say */
  readonly timeoutMs?: number;
  readonly body: WireBody;
  /** Sends the answer. Rejects when it can't be sent, with a reason that need not be known to the handler. */
  reply(reply: WireReply): Promise<void> | void;
}

/** An event that arrived. */
export interface IncomingEvent {
  readonly id: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: WireBody;
  /** Epoch ms. */
  readonly publishedAt: number;
  /** 1 for the first delivery. */
  readonly attempt: number;
  /** Absent where the transport forgets a message once it has handed it over. */
  readonly settle?: EventSettlement;
}

/** How a stored message ends. Each may reject: the message then comes again. */
export interface EventSettlement {
  ack(): Promise<void>;
  /** Hands it back to the group, to be delivered not before `delayMs`. */
  retry(delayMs: number): Promise<void>;
  /** As `retry`, of a message that was not tried: where the attempt need not count. @default retry */
  putOff?(delayMs: number): Promise<void>;
  /** Stores the letter, waits for the confirmation, and then acknowledges the message. */
  deadLetter(letter: DeadLetter): Promise<void>;
}

/** After how long without its instance what is stored for a subscription with `group: false` may be forgotten. */
export const FORGET_OWN_MS = 300_000;

/** What a subscription needs from the transport. */
export interface ConsumeSpec {
  readonly topic: string;
  /** Unique for the group over all services, or `false` for a subscription that gets everything. */
  readonly group: string | false;
  readonly durable: boolean;
  /** Whether a subscription that gets everything begins with what is stored, or with what comes from now on. */
  readonly replay: boolean;
  /** At most this many stored messages are handed over and not yet settled. */
  readonly concurrency: number;
}

/** An open intake of requests or events. */
export interface Intake {
  /** Takes no more, on the server's side too: others get what comes. What was handed over stays to be answered. */
  stop(): Promise<void>;
  /** Messages that wait on the server, as far as known. */
  readonly lag?: number;
}

/** What a driver tells its broker. All of it may be called at any time after `start` was called. */
export interface DriverHost {
  onConnected(): void;
  /**
   * Everything that is on its way has an unknown outcome from now on; the driver itself goes on trying, for ever. Also to be
   * called when the first attempt to connect fails; telling it twice does no harm.
   */
  onDisconnected(reason: string): void;
  onReply(requestId: string, reply: WireReply): void;
  onNoResponder(requestId: string): void;
  /** The server takes no requests of the patterns that are meant: none of those on their way was sent. */
  onRequestsRefused(isMeant: (pattern: string) => boolean, reason: string): void;
  /** The request will never be answered; the others may. `unsent` when that is certain. @default 'unknown' */
  onRequestFailed(requestId: string, reason: string, outcome?: Outcome): void;
  /** Something failed that nobody waits for. */
  onFailure(what: string, error: unknown): void;
}

/**
 * One kind of server, as small as a driver can be: it moves messages. Deadlines, correlation, pending requests, retry
 * decisions, buffering, metrics and errors are the broker's.
 */
export interface TransportDriver {
  readonly name: string;
  readonly capabilities: TransportCapabilities;
  /**
   * Loads the client's package, before `start` and whether or not the server is required.
   * @throws {MeshConfigError} when it is not installed.
   */
  load(): Promise<void>;
  /** Connects, trying until `signal` aborts; rejects then with the last failure. Calls `onConnected`. */
  start(host: DriverHost, signal: AbortSignal): Promise<void>;
  /**
   * Sends a request whose answer comes through `host.onReply` under its id. Called only while connected.
   * @throws when it certainly was not sent.
   */
  request(message: OutgoingRequest): void;
  /** Nobody waits for this answer any more. */
  forget?(requestId: string): void;
  /**
   * `sent`: resolves when the server has the message; `confirmed`: when it is stored. Called only while connected.
   * Rejects when that is not certain; a {@link MeshError} goes to the caller as it is.
   */
  publish(message: OutgoingMessage, guarantee: 'sent' | 'confirmed'): Promise<void>;
  /** Takes requests of `pattern`, sharing them with every other instance that does. Restored after a reconnect. */
  serve(pattern: string, onRequest: (request: IncomingRequest) => void): Promise<Intake>;
  /** Takes events. Restored after a reconnect. */
  consume(spec: ConsumeSpec, onEvent: (event: IncomingEvent) => void): Promise<Intake>;
  /** The dead letters that the server keeps. Only called when `durable`. */
  deadLetters?(topic: string): DeadLetters;
  /** Lets out what is written, and closes. Idempotent, safe when never started. */
  stop(): Promise<void>;
}
