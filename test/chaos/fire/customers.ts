import { setTimeout as sleep } from 'node:timers/promises';
import { type HttpAnswer, type LoadBalancer, Unanswered } from './load-balancer.js';
import type { Timeline } from './timeline.js';

const ORDERS_A_SECOND = 12;
const PRODUCTS = ['espresso', 'grinder', 'kettle'];
const ATTEMPTS = 4;
const PAUSE_MS = 400;

export interface AcceptedOrder {
  readonly id: string;
  readonly productId: string;
}

/** Customers who come at a steady rate, whatever the answers are; each names the order and repeats it when told to. */
export class Customers {
  readonly accepted: AcceptedOrder[] = [];
  /** Orders of which every attempt was refused before it can have been stored. */
  readonly refused: string[] = [];
  /** Orders given up after an answer, or none, that leaves open whether they were stored. */
  readonly open: string[] = [];
  /** Failed requests whose answer was no error of ours. */
  readonly untyped: string[] = [];
  readonly #balancer: LoadBalancer;
  readonly #timeline: Timeline;
  readonly #shopping = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  #visits = 0;
  #visiting: Promise<void> | undefined;

  constructor(balancer: LoadBalancer, timeline: Timeline) {
    this.#balancer = balancer;
    this.#timeline = timeline;
  }

  get orders(): number {
    return this.accepted.length + this.refused.length + this.open.length;
  }

  begin(): void {
    this.#visiting = this.#visit();
  }

  /** Nobody comes any more; resolves when the last one has an answer. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#visiting;
    await Promise.all(this.#shopping);
  }

  async #visit(): Promise<void> {
    const { signal } = this.#closing;
    const everyMs = 1_000 / ORDERS_A_SECOND;
    for (let due = performance.now(); !signal.aborted; due += everyMs) {
      const visit = this.#visits++;
      const shopping = visit % 3 === 2 ? this.#look(visit) : this.#order(visit);
      this.#shopping.add(shopping);
      void shopping.finally(() => this.#shopping.delete(shopping));
      await sleep(Math.max(0, due + everyMs - performance.now()), undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(visit: number): Promise<void> {
    const answer = await this.#ask('GET', `/products/${PRODUCTS[visit % PRODUCTS.length]!}`);
    if (answer?.status === 200) this.#timeline.answered('product shown');
  }

  async #order(visit: number): Promise<void> {
    const productId = PRODUCTS[visit % PRODUCTS.length]!;
    const key = `order-${visit}`;
    let mayBeStored = false;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const answer = await this.#ask('POST', '/orders', { key, body: { productId, quantity: 1 } });
      if (answer?.status === 201 || answer?.status === 202) {
        this.accepted.push({ id: key, productId });
        return this.#timeline.answered(answer.status === 201 ? 'order paid' : 'order accepted');
      }
      mayBeStored ||= !answer || answer.afterCut === true || leavesOpen(answer);
      await sleep(PAUSE_MS);
    }
    (mayBeStored ? this.open : this.refused).push(key);
  }

  /** `undefined` when there was no answer. Failures are counted here. */
  async #ask(method: string, path: string, order?: { key: string; body: unknown }): Promise<HttpAnswer | undefined> {
    try {
      const answer = await this.#balancer.send(method, path, order);
      if (answer.status >= 400) this.#note(answer, `${method} ${path}`);
      return answer;
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      return undefined;
    }
  }

  #note({ status, body }: HttpAnswer, request: string): void {
    const code = String(body['code']);
    this.#timeline.answered(`${status} ${code}`);
    const isTyped = code.startsWith('MESH_') && body['statusCode'] === status && typeof body['retryable'] === 'boolean';
    if (!isTyped) this.untyped.push(`${request}: ${status} ${JSON.stringify(body)}`);
  }
}

/** Only storing the order can leave that open; what fails before is certain. */
function leavesOpen({ body }: HttpAnswer): boolean {
  const { outcome } = (body['details'] ?? {}) as { outcome?: string };
  return body['code'] === 'MESH_PUBLISH_UNCONFIRMED' && outcome !== 'unsent';
}
