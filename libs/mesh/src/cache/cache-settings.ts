import type { CacheDefaults, CacheGetOrSetOptions } from '../core/cache.port.js';
import type { LiveOptions } from '../core/live-options.js';
import { LONGEST_WAIT_MS } from './cache.constants.js';
import type { CacheOptions } from './cache.options.js';
import { checkedTime, checkedTtl } from './usage-checks.js';

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
    const place = `cache "${this.namespace}"`;
    const time = (name: 'graceMs' | 'softTimeoutMs' | 'hardTimeoutMs'): number => checkedTime(place, name, pick(name));
    return {
      ttlMs: checkedTtl(place, pick('ttlMs')),
      graceMs: time('graceMs'),
      softTimeoutMs: Math.min(time('softTimeoutMs'), LONGEST_WAIT_MS),
      hardTimeoutMs: Math.min(time('hardTimeoutMs'), LONGEST_WAIT_MS),
    };
  }
}
