import { Controller, Get, Injectable, Param, ParseIntPipe, Scope, SetMetadata } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { firstValueFrom, Observable, of, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { CacheFixture } from '../../../../../test/cache/cache.fixture.js';
import { attachRuntime, MESH_RUNTIME } from '../../core/method-advice.js';
import { cacheSchema } from '../cache.options.js';
import { CacheEvict, CachePut } from './cache-write.decorators.js';
import { Cacheable } from './cacheable.decorator.js';
import { CachedMethods } from './cached-methods.js';

function setUp() {
  const { cache, clock, options, runtime } = new CacheFixture();
  runtime.provide(CachedMethods, new CachedMethods());
  const make = <T extends object>(type: new () => T): T => {
    const instance = new type();
    attachRuntime(instance, runtime);
    return instance;
  };
  return { cache, clock, options, runtime, make };
}

class Rates {
  runs = 0;

  @Cacheable({ ttlMs: 1_000, graceMs: 0, tags: ['rates'] })
  async rate(currency: string): Promise<string> {
    return `${currency}${++this.runs}`;
  }

  @Cacheable({ key: (currency: string) => `rate:${currency}`, namespace: 'named' })
  named(currency: string): Promise<string> {
    return Promise.resolve(`${currency}${++this.runs}`);
  }

  @Cacheable()
  stream(currency: string): Observable<string> {
    return of(`${currency}${++this.runs}`);
  }

  @Cacheable()
  many(): Observable<number> {
    return of(1, 2);
  }

  @Cacheable()
  empty(): Observable<undefined> {
    return of(undefined);
  }

  @Cacheable({ when: (currency: string) => currency !== 'XXX' })
  async usually(currency: string): Promise<string> {
    return `${currency}${++this.runs}`;
  }

  @Cacheable()
  async failing(): Promise<never> {
    this.runs++;
    throw new Error('no rates');
  }

  @CachePut({ key: (currency: string) => `rate:${currency}`, namespace: 'named' })
  async publish(currency: string): Promise<string> {
    return `${currency}!`;
  }

  @CacheEvict({ keys: (currency: string) => [`rate:${currency}`], namespace: 'named' })
  async forget(_currency: string): Promise<void> {}

  @CacheEvict({ tags: ['rates'] })
  forgetAll(ok: boolean): Observable<string> {
    return ok ? of('done') : throwError(() => new Error('not done'));
  }

  @CacheEvict({ tags: ['rates'], on: 'always' })
  forgetAnyway(): Observable<string> {
    return throwError(() => new Error('not done'));
  }

  @CacheEvict({ all: 'namespace', on: 'before' })
  async reload(): Promise<string> {
    return this.rate('EUR');
  }
}

describe('@Cacheable', () => {
  it('answers equal calls from the cache and different ones apart', async () => {
    const { make, clock } = setUp();
    const rates = make(Rates);
    expect([await rates.rate('EUR'), await rates.rate('EUR'), await rates.rate('USD')]).toEqual([
      'EUR1',
      'EUR1',
      'USD2',
    ]);
    await clock.advance(1_101);
    expect(await rates.rate('EUR')).toBe('EUR3');
  });

  it('goes by the configuration of its namespace before its own options, and by an update of it at once', async () => {
    const { make, clock, options } = setUp();
    const rates = make(Rates);
    options.set(cacheSchema.parse({ jitterRatio: 0, namespaces: { default: { ttlMs: 5_000 } } }));
    await rates.rate('EUR');
    await clock.advance(3_900);
    expect(await rates.rate('EUR')).toBe('EUR1');
    options.set(cacheSchema.parse({ jitterRatio: 0, namespaces: { default: { ttlMs: 10 }, named: { ttlMs: 20 } } }));
    await rates.rate('USD');
    await rates.publish('USD');
    await clock.advance(10);
    expect(await rates.rate('USD')).toBe('USD3');
    expect(await rates.named('USD')).toBe('USD!');
    await clock.advance(10);
    expect(await rates.named('USD')).not.toBe('USD!');
  });

  it('shares one run among concurrent calls, its failure included', async () => {
    const { make } = setUp();
    const rates = make(Rates);
    expect(await Promise.all([rates.rate('EUR'), rates.rate('EUR')])).toEqual(['EUR1', 'EUR1']);
    const failures = await Promise.allSettled([rates.failing(), rates.failing()]);
    expect(failures.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(rates.runs).toBe(2);
  });

  it('gives an Observable where the method does, on a hit too', async () => {
    const { make } = setUp();
    const rates = make(Rates);
    expect(rates.stream('EUR')).toBeInstanceOf(Observable);
    const twice = [await firstValueFrom(rates.stream('EUR')), await firstValueFrom(rates.stream('EUR'))];
    expect(twice).toEqual(['EUR1', 'EUR1']);
    expect(await firstValueFrom(rates.empty())).toBeUndefined();
  });

  it('runs nothing before an Observable is subscribed to', () => {
    const { make } = setUp();
    const rates = make(Rates);
    rates.stream('EUR');
    expect(rates.runs).toBe(0);
  });

  it('refuses to cut a stream of many values short', async () => {
    const { make } = setUp();
    await expect(firstValueFrom(make(Rates).many())).rejects.toThrow('emitted more than one value');
  });

  it('leaves its source when the subscriber leaves', async () => {
    const { make } = setUp();
    let open = 0;
    class Slow {
      @Cacheable()
      wait(): Observable<string> {
        return new Observable(() => {
          open++;
          return () => void open--;
        });
      }
    }
    const subscription = make(Slow).wait().subscribe();
    expect(open).toBe(1);
    subscription.unsubscribe();
    await new Promise(setImmediate);
    expect(open).toBe(0);
  });

  it('learns the kind of a method whose type nobody wrote down from its first call', async () => {
    const { make } = setUp();
    class Untyped {
      runs = 0;
      @Cacheable()
      promised(id: number) {
        return Promise.resolve(`${id}:${++this.runs}`);
      }
      @Cacheable()
      streamed(id: number) {
        return of(`${id}:${++this.runs}`);
      }
    }
    const untyped = make(Untyped);
    expect([await untyped.promised(1), await untyped.promised(1)]).toEqual(['1:1', '1:1']);
    const streamed = () => firstValueFrom(untyped.streamed(1));
    expect([await streamed(), await streamed()]).toEqual(['1:2', '1:2']);
  });

  it('refuses a method that answers at once', () => {
    const { make } = setUp();
    class Sync {
      // @ts-expect-error -- a sync method does not compile; this is the call of someone without types
      @Cacheable()
      now() {
        return 1;
      }
    }
    expect(() => make(Sync).now()).toThrow('must return a Promise or an Observable');
  });

  it('keeps classes that inherit one method apart, and instances of one class together', async () => {
    const { make } = setUp();
    class Repository {
      @Cacheable()
      async find(id: number): Promise<string> {
        return `${this.constructor.name} ${id}`;
      }
    }
    class Users extends Repository {}
    class Orders extends Repository {}
    expect([await make(Users).find(1), await make(Orders).find(1)]).toEqual(['Users 1', 'Orders 1']);
  });

  it('refuses two classes of one name', async () => {
    const { make } = setUp();
    const named = (answer: string) => {
      class Service {
        @Cacheable()
        async find(): Promise<string> {
          return answer;
        }
      }
      return make(Service);
    };
    await named('a').find();
    await expect(named('b').find()).rejects.toMatchObject({ code: 'MESH_CACHE_KEY' });
  });

  it('says which argument can not be keyed', async () => {
    const { make } = setUp();
    class Dto {}
    class Service {
      @Cacheable()
      async find(_dto: Dto): Promise<number> {
        return 1;
      }
    }
    await expect(make(Service).find(new Dto())).rejects.toThrow(
      "Service.find can't be cached under its default key: argument 0 is an instance of Dto, which may hold more than it shows. Give the decorator a key",
    );
  });

  it('leaves calls alone for which when() says no', async () => {
    const { make } = setUp();
    const rates = make(Rates);
    expect([await rates.usually('XXX'), await rates.usually('XXX')]).toEqual(['XXX1', 'XXX2']);
  });

  it('runs the bare method without an application', async () => {
    const rates = new Rates();
    expect([await rates.rate('EUR'), await rates.rate('EUR')]).toEqual(['EUR1', 'EUR2']);
  });

  it('keeps two applications apart', async () => {
    const [one, other] = [setUp().make(Rates), setUp().make(Rates)];
    expect([await one.rate('EUR'), await other.rate('EUR')]).toEqual(['EUR1', 'EUR1']);
    expect([one.runs, other.runs]).toEqual([1, 1]);
  });

  it('does not compile with a key of other arguments', () => {
    class Service {
      // @ts-expect-error -- the method takes a string
      @Cacheable({ key: (id: number) => `${id}` })
      async find(id: string): Promise<string> {
        return id;
      }
    }
    expect(Service).toBeDefined();
  });
});

describe('@CachePut and @CacheEvict', () => {
  it('put and delete what @Cacheable reads', async () => {
    const { make } = setUp();
    const rates = make(Rates);
    expect(await rates.named('EUR')).toBe('EUR1');
    await rates.publish('EUR');
    expect(await rates.named('EUR')).toBe('EUR!');
    await rates.forget('EUR');
    expect(await rates.named('EUR')).toBe('EUR2');
  });

  it('delete by tag when the stream has completed, and not when it failed', async () => {
    const { make } = setUp();
    const rates = make(Rates);
    await rates.rate('EUR');
    await expect(firstValueFrom(rates.forgetAll(false))).rejects.toThrow('not done');
    expect(await rates.rate('EUR')).toBe('EUR1');
    await new Promise<void>((resolve) => rates.forgetAll(true).subscribe({ complete: resolve }));
    expect(await rates.rate('EUR')).toBe('EUR2');
  });

  it('delete on failure too when told always, and before the method when told before', async () => {
    const { make } = setUp();
    const rates = make(Rates);
    await rates.rate('EUR');
    await expect(firstValueFrom(rates.forgetAnyway())).rejects.toThrow('not done');
    expect(await rates.rate('EUR')).toBe('EUR2');
    expect(await rates.reload()).toBe('EUR3');
    expect(await rates.rate('EUR')).toBe('EUR3');
  });
});

describe('in a Nest application', () => {
  const Roles = (role: string) => SetMetadata('role', role);

  @Controller('items')
  class Items {
    static runs = 0;

    @Get(':id')
    @Roles('reader')
    @Cacheable()
    async find(@Param('id', ParseIntPipe) id: number): Promise<{ id: number; run: number }> {
      return { id, run: ++Items.runs };
    }
  }

  @Injectable({ scope: Scope.REQUEST })
  class PerRequest {
    static runs = 0;

    @Cacheable()
    async find(id: number): Promise<string> {
      return `${id}:${++PerRequest.runs}`;
    }
  }

  it('serves routes and request-scoped providers with their metadata and pipes as they were', async () => {
    const { runtime } = setUp();
    const module = await Test.createTestingModule({
      controllers: [Items],
      providers: [PerRequest, { provide: MESH_RUNTIME, useValue: runtime }],
    }).compile();
    const app = module.createNestApplication({ logger: false });
    await app.listen(0, '127.0.0.1');
    try {
      const url = await app.getUrl();
      const get = async (path: string) => (await fetch(`${url}${path}`)).json();
      expect([await get('/items/7'), await get('/items/7'), await get('/items/8')]).toEqual([
        { id: 7, run: 1 },
        { id: 7, run: 1 },
        { id: 8, run: 2 },
      ]);
      expect(await get('/items/x')).toMatchObject({ statusCode: 400 });
      expect(Reflect.getMetadata('role', Items.prototype.find)).toBe('reader');
      const [a, b] = [await module.resolve(PerRequest), await module.resolve(PerRequest)];
      expect(a).not.toBe(b);
      expect([await a.find(1), await b.find(1)]).toEqual(['1:1', '1:1']);
    } finally {
      await app.close();
    }
  });
});
