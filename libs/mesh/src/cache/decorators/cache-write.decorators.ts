import { catchError, concat, defer, ignoreElements, isObservable, type Observable, tap, throwError } from 'rxjs';
import type { CacheClient, CacheDefaults } from '../../core/cache.port.js';
import { adviseMethod, AdviceStage, type MethodAdvice } from '../../core/method-advice.js';
import { checkTimes } from '../usage-checks.js';
import { type CacheMethodDecorator, perCall, type PerCall } from './cached-method.js';
import { namespacedCache } from './cacheable.decorator.js';
import { kindOf } from './return-kind.js';

export interface CachePutOptions<Args extends readonly unknown[]> extends Pick<CacheDefaults, 'ttlMs' | 'graceMs'> {
  /** The key to put the result under. */
  readonly key: (...args: Args) => string;
  readonly tags?: PerCall<Args>;
  /** @default the cache itself */
  readonly namespace?: string;
}

/** Runs the method at every call and puts its result into the cache; `undefined` is not put. */
export function CachePut<Args extends readonly unknown[]>(options: CachePutOptions<Args>): CacheMethodDecorator<Args> {
  const { key, tags, namespace, ...defaults } = options as unknown as CachePutOptions<readonly unknown[]>;
  checkTimes('@CachePut', defaults);
  return writing({
    kind: 'cache-put',
    namespace,
    on: 'success',
    run: async (cache, args, result) => {
      if (result !== undefined) await cache.set(key(...args), result, { defaults, tags: perCall(tags, args) });
    },
  });
}

export interface CacheEvictOptions<Args extends readonly unknown[] = []> {
  /** The keys to delete. */
  readonly keys?: PerCall<Args>;
  /** Deletes what carries one of these. */
  readonly tags?: PerCall<Args>;
  /** `namespace` deletes the whole namespace. */
  readonly all?: 'namespace';
  /** @default the cache itself */
  readonly namespace?: string;
  /** `before` the method runs, after its `success`, or `always` after it. @default 'success' */
  readonly on?: 'success' | 'always' | 'before';
}

/** Deletes values when the method is called: after it succeeded, unless `on` says otherwise. */
export function CacheEvict<Args extends readonly unknown[] = []>(
  options: CacheEvictOptions<Args>,
): CacheMethodDecorator<Args> {
  const { keys, tags, all, namespace, on = 'success' } = options as unknown as CacheEvictOptions<readonly unknown[]>;
  return writing({
    kind: 'cache-evict',
    namespace,
    on,
    run: async (cache, args) => {
      await Promise.all([
        all && cache.clear(),
        tags && cache.deleteByTag(...perCall(tags, args)),
        keys && cache.deleteMany(perCall(keys, args)),
      ]);
    },
  });
}

/** What a decorator does to the cache at a call of its method. */
interface CacheWrite {
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly on: 'success' | 'always' | 'before';
  run(cache: CacheClient, args: readonly unknown[], result?: unknown): Promise<void>;
}

function writing<Args extends readonly unknown[]>(write: CacheWrite): CacheMethodDecorator<Args> {
  const advice: MethodAdvice = {
    kind: write.kind,
    stage: AdviceStage.cache,
    bind: (next, method, runtime) => {
      const cache = namespacedCache(runtime, write.namespace);
      return (self, args) => {
        // Memory is written before the method begins; what is left to wait for is the second tier.
        const before = write.on === 'before' ? write.run(cache, args) : undefined;
        before?.catch(() => undefined);
        const result = next(self, args);
        kindOf(result, method);
        const run = (value?: unknown): Promise<void> => before ?? write.run(cache, args, value);
        return isObservable(result)
          ? afterStream(result, run, write)
          : afterPromise(result as Promise<unknown>, run, write);
      };
    },
  };
  return (target, key, descriptor) => void adviseMethod(target, key, descriptor, write.kind, () => advice);
}

type Run = (value?: unknown) => Promise<void>;

async function afterPromise(result: Promise<unknown>, run: Run, { on }: CacheWrite): Promise<unknown> {
  let value: unknown;
  try {
    value = await result;
  } catch (error) {
    if (on === 'always') await run();
    throw error;
  }
  await run(value);
  return value;
}

/** A stream counts as over when it completes; what is written is its last value. */
function afterStream(source: Observable<unknown>, run: Run, { on }: CacheWrite): Observable<unknown> {
  let last: unknown;
  const end = defer(() => run(last)).pipe(ignoreElements());
  const done = concat(source.pipe(tap((value) => (last = value))), end);
  if (on !== 'always') return done;
  return done.pipe(
    catchError((error: unknown) =>
      concat(
        end,
        throwError(() => error),
      ),
    ),
  );
}
