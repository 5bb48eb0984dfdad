import { CacheClient, type CacheDefaults } from '../core/cache.port.js';
import type { PreparedReplacement, ReplaceablePart } from './replaceable-part.js';
import { StandIn } from './stand-in.js';

interface Namespace {
  readonly cache: ReplaceableCache;
  readonly defaults: CacheDefaults | undefined;
}

/** A cache whose namespaces, once handed out, follow it to its successor. */
export class ReplaceableCache implements ReplaceablePart<CacheClient> {
  readonly #standIn: StandIn<CacheClient>;
  readonly #namespaces = new Map<string, Namespace>();

  constructor(cache: CacheClient) {
    this.#standIn = new StandIn(CacheClient, cache, {
      namespace: (name, defaults) => this.#namespace(name, defaults).face,
    });
  }

  get face(): CacheClient {
    return this.#standIn.face;
  }

  get part(): CacheClient {
    return this.#standIn.part;
  }

  prepare(next: CacheClient): PreparedReplacement {
    const namespaces = Array.from(this.#namespaces, ([name, { cache, defaults }]) =>
      cache.prepare(next.namespace(name, defaults)),
    );
    return {
      commit: () => {
        this.#standIn.switchTo(next);
        for (const namespace of namespaces) namespace.commit();
      },
      discard: () => undefined,
    };
  }

  #namespace(name: string, defaults: CacheDefaults | undefined): ReplaceableCache {
    // Asked every time: it refuses defaults that contradict those of an earlier caller.
    const part = this.part.namespace(name, defaults);
    const known = this.#namespaces.get(name);
    if (known && (known.defaults || !defaults)) return known.cache;
    const cache = known?.cache ?? new ReplaceableCache(part);
    this.#namespaces.set(name, { cache, defaults });
    return cache;
  }
}
