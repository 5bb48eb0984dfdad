import type { Message } from '../core/broker.port.js';
import { IN_PROCESS } from '../core/in-process.js';

/** The header in which `key` of a published message travels. */
export const KEY_HEADER = 'mesh-key';

/**
 * A message at its subscriber. Wherever it came from, the loop that judges its handler's error is in this process, so it
 * carries the mark by which Nest's filters let the error pass as it is.
 */
export class DeliveredMessage implements Message {
  readonly id: string;
  readonly topic: string;
  readonly payload: unknown;
  readonly headers: Readonly<Record<string, string>>;
  readonly publishedAt: number;
  readonly attempt: number;

  constructor({ id, topic, payload, headers, publishedAt, attempt }: Message) {
    this.id = id;
    this.topic = topic;
    this.payload = payload;
    this.headers = headers;
    this.publishedAt = publishedAt;
    this.attempt = attempt;
  }

  get key(): string | undefined {
    return this.headers[KEY_HEADER];
  }

  get [IN_PROCESS](): true {
    return true;
  }

  asAttempt(attempt: number): DeliveredMessage {
    return new DeliveredMessage({ ...this, attempt });
  }
}
