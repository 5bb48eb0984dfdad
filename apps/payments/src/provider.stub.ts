import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { MeshComponent } from 'nestjs-mesh';
import type { Account, Charge, ProviderBehaviour, Receipt } from '../../contracts/src/payments.contract.js';

/** Stands in for a payment provider on the internet: a server of its own, on a free loopback port, that can be made to fail. */
@MeshComponent({ name: 'payment-provider' })
export class ProviderStub {
  readonly #receipts = new Map<string, Receipt>();
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  #behaviour: ProviderBehaviour = { failureRatio: 0, latencyMs: 20 };

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  behave(behaviour: ProviderBehaviour): ProviderBehaviour {
    this.#behaviour = behaviour;
    return behaviour;
  }

  /** Each order is charged once. */
  get account(): Account {
    const receipts = [...this.#receipts.values()];
    return {
      charges: receipts.length,
      amountCents: receipts.reduce((sum, { amountCents }) => sum + amountCents, 0),
    };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { failureRatio, latencyMs } = this.#behaviour;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (latencyMs > 0) await sleep(latencyMs);
    if (Math.random() < failureRatio) {
      response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":"the provider has a bad day"}');
      return;
    }
    const { orderId, amountCents } = JSON.parse(Buffer.concat(chunks).toString()) as Charge;
    const receipt = this.#receipts.get(orderId) ?? { orderId, paymentId: randomUUID(), amountCents };
    this.#receipts.set(orderId, receipt);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(receipt));
  }
}
