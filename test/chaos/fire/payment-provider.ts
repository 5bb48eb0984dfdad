import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Charge, Receipt } from '../../../apps/contracts/src/payments.contract.js';

/** `charges-then-fails` takes the money and answers 500: only the idempotency key saves the customer. */
export type Mood = 'well' | 'fails' | 'hangs' | 'charges-then-fails';

/**
 * A payment provider that outlives everything: it remembers each charge by its idempotency key, as real ones do, and each
 * order that it took money for, which real ones don't.
 */
export class PaymentProvider {
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  readonly #receipts = new Map<string, Receipt>();
  readonly #paymentsOf = new Map<string, string[]>();
  readonly #hanging = new Set<ServerResponse>();
  mood: Mood = 'well';
  /** Sabotage: it charges every time it is asked, as if there was no key. */
  forgetsKeys = false;
  requests = 0;

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The payments taken for each order; more than one is what must not be. */
  get paymentsOf(): ReadonlyMap<string, readonly string[]> {
    return this.#paymentsOf;
  }

  recover(): void {
    this.mood = 'well';
    for (const response of this.#hanging) response.destroy();
    this.#hanging.clear();
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      // Whoever asked was killed in the middle of it.
      return;
    }
    if (this.mood === 'hangs') return void this.#hanging.add(response);
    if (this.mood === 'fails') return void response.writeHead(500).end('{"error":"a bad day"}');
    const receipt = this.#charge(JSON.parse(Buffer.concat(chunks).toString()) as Charge, request);
    if (this.mood === 'charges-then-fails') return void response.writeHead(500).end('{"error":"half a bad day"}');
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(receipt));
  }

  #charge({ orderId, amountCents }: Charge, { headers }: IncomingMessage): Receipt {
    const key = this.forgetsKeys ? randomUUID() : String(headers['idempotency-key'] ?? randomUUID());
    const known = this.#receipts.get(key);
    if (known) return known;
    const receipt = { orderId, paymentId: randomUUID(), amountCents };
    this.#receipts.set(key, receipt);
    this.#paymentsOf.set(orderId, [...(this.#paymentsOf.get(orderId) ?? []), receipt.paymentId]);
    return receipt;
  }
}
