import type { ClientKafka } from '@nestjs/microservices';
import type { Admin, Kafka } from 'kafkajs';
import type { NestPacket } from './nest-transport.js';

/** What `emit` of Nest's client calls: without its Observable. */
interface DispatchingClient {
  dispatchEvent(packet: NestPacket): Promise<unknown>;
}

/**
 * One connection to Kafka, by Nest's client. It is used until it breaks and never again: a client of kafkajs that has
 * connected to a server while that hung stays of no use when the server answers again.
 */
export class KafkaLink {
  readonly #client: ClientKafka;
  #admin: Admin | undefined;
  isBroken = false;

  constructor(client: ClientKafka) {
    this.#client = client;
  }

  async open(): Promise<void> {
    await this.#client.connect();
    this.#admin = this.#client.unwrap<Kafka>().admin();
    await this.#admin.connect();
    // A server that hangs is connected to all the same.
    await this.ask();
  }

  async send(packet: NestPacket): Promise<void> {
    await (this.#client as unknown as DispatchingClient).dispatchEvent(packet);
  }

  /** Rejects when the servers don't answer. */
  async ask(): Promise<void> {
    await this.#admin?.describeCluster();
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#client.close(), this.#admin?.disconnect()]);
  }
}
