import type { CacheDefaults, CacheGetOrSetOptions } from '../core/cache.port.js';
import type { LiveOptions } from '../core/live-options.js';
import type { CacheOptions } from './cache.options.js';
import { checkedTtl } from './load-context.js';

export type CacheSettings = Required<CacheDefaults>;

/**
 * What one namespace goes by, the strongest first: the call's own options, the configuration's for the namespace, the
 * decorator's, what `namespace()` was given, the cache's. Configuration has to win over code that is compiled in:
 * otherwise no update would reach a decorated method.
 */
export class SettingsResolver {
  constructor(
    private readonly namespace: string,
    private readonly defaults: CacheDefaults | undefined,
    private readonly options: LiveOptions<CacheOptions>,
  ) {}

  /** The options of the whole cache, as of now. */
  get cache(): CacheOptions {
    return this.options.current;
  }

  resolve(call: CacheGetOrSetOptions | undefined): CacheSettings {
    const cache = this.options.current;
    const configured = cache.namespaces[this.namespace];
    const pick = <K extends keyof CacheSettings>(key: K): CacheSettings[K] =>
      (call?.[key] ??
        configured?.[key] ??
        call?.defaults?.[key] ??
        this.defaults?.[key] ??
        cache[key]) as CacheSettings[K];
    return {
      ttlMs: checkedTtl(pick('ttlMs')),
      graceMs: pick('graceMs'),
      softTimeoutMs: pick('softTimeoutMs'),
      hardTimeoutMs: pick('hardTimeoutMs'),
    };
  }
}
