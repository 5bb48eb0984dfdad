import { isObservable } from 'rxjs';
import { CacheClient, type CacheDefaults, type LoadContext } from '../../core/cache.port.js';
import type { MeshRuntime } from '../../core/mesh-runtime.js';
import {
  adviseMethod,
  AdviceStage,
  type DecoratedMethod,
  type Invocation,
  type MethodAdvice,
} from '../../core/method-advice.js';
import { checkTimes } from '../usage-checks.js';
import { type CacheMethodDecorator, perCall, type PerCall } from './cached-method.js';
import { CachedMethods } from './cached-methods.js';
import { declaredKind, fromCall, kindOf, singleValue } from './return-kind.js';

/** Times that `cache.namespaces.<namespace>` of the configuration says otherwise win over those given here. */
export interface CacheableOptions<Args extends readonly unknown[] = []> extends CacheDefaults {
  /** The key, within the namespace. @default class, method and the canonical arguments */
  readonly key?: (...args: Args) => string;
  /** Names for `deleteByTag` and `@CacheEvict`. */
  readonly tags?: PerCall<Args>;
  /** The namespace of the values. @default the cache itself */
  readonly namespace?: string;
  /** Calls for which it answers false run the method and leave the cache alone. @default every call is cached */
  readonly when?: (...args: Args) => boolean;
}

/**
 * Answers calls of the method from the cache. Concurrent calls with the same key share one run.
 *
 * The default key is made of the class, the method and the arguments; an argument that can't be keyed without guessing
 * (a class instance, a function) is a {@link CacheKeyError}. The key knows nothing of who calls: where the answer depends
 * on more than the arguments - `this`, the current user - say so in `key`.
 */
export function Cacheable<Args extends readonly unknown[] = []>(
  options: CacheableOptions<Args> = {},
): CacheMethodDecorator<Args> {
  checkTimes('@Cacheable', options);
  return (target, key, descriptor) =>
    void adviseMethod(target, key, descriptor, CacheableAdvice.KIND, () => {
      return new CacheableAdvice(options as CacheableOptions<readonly unknown[]>);
    });
}

class CacheableAdvice implements MethodAdvice {
  static readonly KIND = 'cacheable';
  readonly kind = CacheableAdvice.KIND;
  readonly stage = AdviceStage.cache;

  constructor(private readonly options: CacheableOptions<readonly unknown[]>) {}

  bind(next: Invocation, method: DecoratedMethod, runtime: MeshRuntime): Invocation {
    const { key, tags, namespace, when, ...defaults } = this.options;
    const cache = namespacedCache(runtime, namespace);
    const keys = key ? undefined : runtime.get(CachedMethods);
    let kind = declaredKind(method);

    const load = async (
      self: object,
      args: readonly unknown[],
      run: (context: LoadContext) => unknown,
      call: { readonly signal?: AbortSignal; readonly mode?: 'refresh' } = {},
    ): Promise<unknown> =>
      cache.getOrSet(keys ? keys.keyOf(method, self, args) : key!(...args), run, {
        defaults,
        ...call,
        ...(tags && { tags: perCall(tags, args) }),
      });

    return (self, args) => {
      if (when && !when(...args)) return next(self, args);
      // A kind that nobody wrote down shows at the first call, which therefore always runs the method.
      const first = kind ? undefined : { result: next(self, args) };
      kind ??= kindOf(first!.result, method);
      const run = (): unknown => (first ? first.result : next(self, args));
      const mode = first && ({ mode: 'refresh' } as const);
      if (kind === 'promise') return load(self, args, run, mode);
      return fromCall((signal) =>
        load(
          self,
          args,
          (context) => {
            const result = run();
            return isObservable(result) ? singleValue(result, method, context.signal) : result;
          },
          { signal, ...mode },
        ),
      );
    };
  }
}

export function namespacedCache(runtime: MeshRuntime, namespace: string | undefined): CacheClient {
  const cache = runtime.get(CacheClient);
  return namespace === undefined ? cache : cache.namespace(namespace);
}
