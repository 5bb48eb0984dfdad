import { setTimeout as sleep } from 'node:timers/promises';
import { type HttpAnswer, type LoadBalancer, Unanswered } from './load-balancer.js';
import type { Timeline } from './timeline.js';

/** Two of three order, one looks. */
const VISITS_A_SECOND = 12;
const PRODUCTS = ['espresso', 'grinder', 'kettle'];
const ATTEMPTS = 4;
const PAUSE_MS = 400;

/** Customers who come at a steady rate, whatever the answers are; each names the order and repeats it when told to. */
export class Customers {
  /** The product of each order, whatever became of it. */
  readonly productOf = new Map<string, string>();
  readonly accepted: string[] = [];
  /** Orders of which every attempt was refused before it can have been stored. */
  readonly refused: string[] = [];
  /** Orders given up after an answer, or none, that leaves open whether they were stored. */
  readonly open: string[] = [];
  /** Answers that are neither what was asked for nor an error of ours. */
  readonly untyped: string[] = [];
  readonly #balancer: LoadBalancer;
  readonly #timeline: Timeline;
  readonly #shopping = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  #looks = 0;
  #orders = 0;
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
    const everyMs = 1_000 / VISITS_A_SECOND;
    for (let visit = 0, due = performance.now(); !signal.aborted; visit++, due += everyMs) {
      const shopping = visit % 3 === 2 ? this.#look(this.#looks++) : this.#order(this.#orders++);
      this.#shopping.add(shopping);
      void shopping.finally(() => this.#shopping.delete(shopping));
      await sleep(Math.max(0, due + everyMs - performance.now()), undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(count: number): Promise<void> {
    const answer = await this.#ask('GET', `/products/${PRODUCTS[count % PRODUCTS.length]!}`);
    if (answer?.status === 200) this.#timeline.answered('product shown');
  }

  async #order(count: number): Promise<void> {
    const productId = PRODUCTS[count % PRODUCTS.length]!;
    const key = `order-${count}`;
    this.productOf.set(key, productId);
    let mayBeStored = false;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const answer = await this.#ask('POST', '/orders', { key, body: { productId, quantity: 1 } });
      if (answer?.status === 201 || answer?.status === 202) {
        this.accepted.push(key);
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
      if (!(order ? [201, 202] : [200]).includes(answer.status)) this.#note(answer, `${method} ${path}`);
      return answer;
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      return undefined;
    }
  }

  #note({ status, body }: HttpAnswer, request: string): void {
    const code = String(body['code']);
    this.#timeline.answered(`${status} ${code}`);
    const isTyped =
      status >= 400 &&
      code.startsWith('MESH_') &&
      body['statusCode'] === status &&
      typeof body['retryable'] === 'boolean';
    if (!isTyped) this.untyped.push(`${request}: ${status} ${JSON.stringify(body)}`);
  }
}

/** Only storing the order can leave that open, and an answer that is no failure; what fails before is certain. */
function leavesOpen({ status, body }: HttpAnswer): boolean {
  const { outcome } = (body['details'] ?? {}) as { outcome?: string };
  return status < 400 || (body['code'] === 'MESH_PUBLISH_UNCONFIRMED' && outcome !== 'unsent');
}
