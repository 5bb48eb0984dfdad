import type { Message } from '../core/broker.port.js';
import { IN_PROCESS } from '../core/in-process.js';

/** A message that never leaves this process. */
export class InProcessMessage implements Message {
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

  get [IN_PROCESS](): true {
    return true;
  }

  asAttempt(attempt: number): InProcessMessage {
    return new InProcessMessage({ ...this, attempt });
  }
}
