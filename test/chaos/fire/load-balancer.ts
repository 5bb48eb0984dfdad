import { setTimeout as sleep } from 'node:timers/promises';
import type { Instance } from './instance.js';
import type { Timeline } from './timeline.js';

const LOOKS_EVERY_MS = 200;
const ANSWERS_WITHIN_MS = 15_000;
const GIVES_UP_AFTER_MS = 15_000;

export interface HttpAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  /** An earlier attempt broke off after it may have arrived. */
  readonly afterCut?: boolean;
}

/** Why there was no answer at all, from an instance that nobody had killed. */
export class Unanswered extends Error {}

/**
 * Spreads requests over the gateways that are ready, over all of them when none is, as a load balancer would. When a
 * connection is refused or cut it tries the next gateway, and counts that: apart by whether the instance was killed, was
 * stopping, or has no excuse.
 */
export class LoadBalancer {
  readonly #gateways: readonly Instance[];
  readonly #timeline: Timeline;
  readonly #inRotation = new Set<Instance>();
  readonly #end = new AbortController();
  #next = 0;
  /** Connections that broke without an excuse, and requests without an answer. */
  readonly unexcused: string[] = [];

  constructor(gateways: readonly Instance[], timeline: Timeline) {
    this.#gateways = gateways;
    this.#timeline = timeline;
    for (const gateway of gateways) {
      this.#inRotation.add(gateway);
      void this.#watch(gateway);
    }
  }

  stop(): void {
    this.#end.abort();
  }

  /** @throws {@link Unanswered} */
  async send(
    method: string,
    path: string,
    order?: { readonly key: string; readonly body: unknown },
  ): Promise<HttpAnswer> {
    let afterCut = false;
    const giveUpAt = Date.now() + GIVES_UP_AFTER_MS;
    while (Date.now() < giveUpAt) {
      const isReady = this.#inRotation.size > 0;
      const gateway = this.#choose();
      const sentAt = Date.now();
      try {
        return { ...(await attempt(gateway, { method, path, order })), afterCut };
      } catch (error) {
        afterCut ||= reasonOf(error) !== 'ECONNREFUSED';
        this.#count(gateway, { sentAt, isReady, reason: reasonOf(error) });
      }
      await sleep(50);
    }
    this.unexcused.push(`${method} ${path}: no gateway answered within ${GIVES_UP_AFTER_MS} ms`);
    throw new Unanswered();
  }

  #choose(): Instance {
    const ready = this.#gateways.filter((gateway) => this.#inRotation.has(gateway));
    const among = ready.length > 0 ? ready : this.#gateways;
    return among[this.#next++ % among.length]!;
  }

  #count(
    gateway: Instance,
    { sentAt, isReady, reason }: { readonly sentAt: number; readonly isReady: boolean; readonly reason: string },
  ): void {
    this.#inRotation.delete(gateway);
    const how = reason === 'ECONNREFUSED' ? 'refused' : 'cut';
    if (gateway.wasKilled(sentAt)) return this.#timeline.answered(`${how} by SIGKILL`);
    if (gateway.wasStopped(sentAt)) {
      if (how === 'refused') return this.#timeline.answered('refused by a stopped instance');
      if (!isReady) return this.#timeline.answered('cut by SIGTERM, when no gateway was ready');
    }
    this.#timeline.answered('no answer, unexcused');
    this.unexcused.push(`${gateway.name}: ${reason} after ${Date.now() - sentAt} ms`);
  }

  async #watch(gateway: Instance): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      if (await gateway.isReady()) this.#inRotation.add(gateway);
      else this.#inRotation.delete(gateway);
      await sleep(LOOKS_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

async function attempt(
  gateway: Instance,
  { method, path, order }: { method: string; path: string; order: { key: string; body: unknown } | undefined },
): Promise<HttpAnswer> {
  const response = await fetch(gateway.url + path, {
    method,
    signal: AbortSignal.timeout(ANSWERS_WITHIN_MS),
    ...(order && {
      headers: { 'content-type': 'application/json', 'idempotency-key': order.key },
      body: JSON.stringify(order.body),
    }),
  });
  const text = await response.text();
  return { status: response.status, body: jsonOf(text) };
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return { text };
  }
}

function reasonOf(error: unknown): string {
  const { cause, name } = error as Error & { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? name;
}
