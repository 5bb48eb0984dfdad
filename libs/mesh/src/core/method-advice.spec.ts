import { inspect } from 'node:util';
import { Get, Inject, Injectable, Module, Scope, SetMetadata } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import { MeshRuntime } from './mesh-runtime.js';
import {
  adviseMethod,
  AdviceStage,
  attachRuntime,
  decoratedMethodsOf,
  MESH_RUNTIME,
  type MethodAdvice,
} from './method-advice.js';

/** Puts its label around what the method returns, and writes down which runtime bound it. */
function Around(label: string, stage: number = AdviceStage.pipeline) {
  return (target: object, key: string | symbol, descriptor: PropertyDescriptor): void => {
    adviseMethod(target, key, descriptor, label, () => advice(label, stage));
  };
}

function advice(label: string, stage: number): MethodAdvice {
  return {
    kind: label,
    stage,
    bind: (next, _method, runtime) => (self, args) => `${label}${nameOf(runtime)}(${String(next(self, args))})`,
  };
}

const names = new WeakMap<MeshRuntime, string>();
const nameOf = (runtime: MeshRuntime): string => names.get(runtime) ?? '';

function runtimeNamed(name: string): MeshRuntime {
  const runtime = new MeshRuntime();
  names.set(runtime, name);
  return runtime;
}

async function applicationOf<T>(type: new (...args: never[]) => T, runtime = new MeshRuntime()) {
  return Test.createTestingModule({ providers: [type, { provide: MESH_RUNTIME, useValue: runtime }] }).compile();
}

class Prices {
  readonly currency: string = 'EUR';

  @Around('a')
  @SetMetadata('roles', ['below'])
  price(amount: number, _scale?: number): string {
    return `${amount} ${this.currency}`;
  }
}

describe('a decorated method', () => {
  it('runs bare without an application', () => {
    expect(new Prices().price(3)).toBe('3 EUR');
  });

  it('runs its advice on an instance that Nest made', async () => {
    const app = await applicationOf(Prices);
    expect(app.get(Prices).price(3)).toBe('a(3 EUR)');
  });

  it('runs its advice on an object that was handed over by hand', () => {
    const prices = new Prices();
    attachRuntime(prices, new MeshRuntime());
    expect(prices.price(3)).toBe('a(3 EUR)');
  });

  it('keeps its name and length', () => {
    expect([Prices.prototype.price.name, Prices.prototype.price.length]).toEqual(['price', 2]);
  });

  it('keeps the metadata of decorators below it and takes that of decorators above it', () => {
    class Controller {
      @SetMetadata('above', 1)
      @Get('prices')
      @Around('a')
      @SetMetadata('below', 2)
      list(): void {}
    }
    const { list } = Controller.prototype;
    const keys = Reflect.getOwnMetadataKeys(list) as string[];
    expect(Object.fromEntries(keys.map((key) => [key, Reflect.getOwnMetadata(key, list) as unknown]))).toMatchObject({
      above: 1,
      below: 2,
      path: 'prices',
    });
  });

  it('runs bare when a test tool mocks the runtime', async () => {
    const app = await Test.createTestingModule({ providers: [Prices] })
      .useMocker(() => ({}))
      .compile();
    expect(app.get(Prices).price(3)).toBe('3 EUR');
  });

  it('fails the boot with the missing module as the reason when there is no runtime', async () => {
    await expect(Test.createTestingModule({ providers: [Prices] }).compile()).rejects.toThrow(
      'nestjs-mesh: import MeshModule.forRoot() in the root module',
    );
  });

  it('leaves no trace of the runtime on the instance', async () => {
    const prices = (await applicationOf(Prices)).get(Prices);
    expect([Object.keys(prices), inspect(prices), JSON.stringify(prices)]).toEqual([
      ['currency'],
      "Prices { currency: 'EUR' }",
      '{"currency":"EUR"}',
    ]);
  });

  it('works in a class that freezes itself in its constructor', async () => {
    class Frozen extends Prices {
      constructor() {
        super();
        Object.freeze(this);
      }
    }
    const frozen = (await applicationOf(Frozen)).get(Frozen);
    expect([Object.isFrozen(frozen), frozen.price(3)]).toEqual([true, 'a(3 EUR)']);
  });

  it('works for each instance of a request-scoped provider with its own this', async () => {
    let made = 0;
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest extends Prices {
      override readonly currency = `EUR${++made}`;
    }
    const app = await applicationOf(PerRequest);
    const [first, second] = [await app.resolve(PerRequest), await app.resolve(PerRequest)];
    expect([first.price(1), second.price(1)]).toEqual(['a(1 EUR1)', 'a(1 EUR2)']);
  });

  it('refuses a static method and an accessor', () => {
    expect(() => {
      class Wrong {
        @Around('a')
        static of(): void {}
      }
      return Wrong;
    }).toThrow('The decorator a on Wrong.of stands on something that is not a method of instances');
    expect(() => {
      class Wrong {
        @Around('a')
        get price(): number {
          return 1;
        }
      }
      return Wrong;
    }).toThrow('The decorator a on Wrong.price');
  });
});

describe('subclasses of a class with a decorated method', () => {
  it('inherit the advice', async () => {
    class Local extends Prices {}
    expect((await applicationOf(Local)).get(Local).price(3)).toBe('a(3 EUR)');
  });

  it('override it bare, and reach the advised one through super', async () => {
    class Local extends Prices {
      override price(amount: number): string {
        return `local ${super.price(amount)}`;
      }
    }
    expect((await applicationOf(Local)).get(Local).price(3)).toBe('local a(3 EUR)');
  });

  it('advise their override once more around the inherited one', async () => {
    class Local extends Prices {
      @Around('b')
      override price(amount: number): string {
        return super.price(amount);
      }
    }
    expect((await applicationOf(Local)).get(Local).price(3)).toBe('b(a(3 EUR))');
  });

  it('keep their own property dependencies', async () => {
    class Local extends Prices {
      @Inject('TAX') readonly tax!: number;
    }
    const app = await Test.createTestingModule({
      providers: [Local, { provide: 'TAX', useValue: 19 }, { provide: MESH_RUNTIME, useValue: new MeshRuntime() }],
    }).compile();
    const local = app.get(Local);
    expect([local.tax, local.price(3)]).toEqual([19, 'a(3 EUR)']);
  });
});

describe('several decorators on one method', () => {
  class Stacked {
    @Around('cache', AdviceStage.cache)
    @Around('pipeline', AdviceStage.pipeline)
    @Around('fallback', AdviceStage.fallback)
    one(): string {
      return 'x';
    }

    @Around('fallback', AdviceStage.fallback)
    @SetMetadata('between', true)
    @Around('cache', AdviceStage.cache)
    @Around('pipeline', AdviceStage.pipeline)
    other(): string {
      return 'x';
    }
  }

  it('share one trampoline', () => {
    const methods = decoratedMethodsOf(Stacked.prototype);
    expect(methods.map((method) => [method.name, method.advices.length, method.original('x')])).toEqual([
      ['one', 3, 'x'],
      ['other', 3, 'x'],
    ]);
  });

  it('run in the fixed order however they are stacked', async () => {
    const stacked = (await applicationOf(Stacked)).get(Stacked);
    expect([stacked.one(), stacked.other()]).toEqual(Array(2).fill('fallback(cache(pipeline(x)))'));
  });

  it('give back the first advice of a kind instead of adding another', () => {
    const target = { constructor: Stacked };
    const descriptor: PropertyDescriptor = { value: () => 1, configurable: true, writable: true };
    const first = adviseMethod(target, 'm', descriptor, 'k', () => advice('k', 1));
    expect(adviseMethod(target, 'm', descriptor, 'k', () => advice('k', 2))).toBe(first);
  });
});

describe('two applications in one process', () => {
  it('bind the same method separately', async () => {
    const [one, two] = await Promise.all([
      applicationOf(Prices, runtimeNamed('1')),
      applicationOf(Prices, runtimeNamed('2')),
    ]);
    expect([one.get(Prices).price(3), two.get(Prices).price(3), one.get(Prices).price(4)]).toEqual([
      'a1(3 EUR)',
      'a2(3 EUR)',
      'a1(4 EUR)',
    ]);
  });

  it('bind a method once each', async () => {
    let bound = 0;
    const Counted = (target: object, key: string, descriptor: PropertyDescriptor): void => {
      adviseMethod(target, key, descriptor, 'counted', () => ({
        kind: 'counted',
        stage: 0,
        bind: (next) => (bound++, next),
      }));
    };
    class Service {
      @Counted
      run(): number {
        return 1;
      }
    }
    const service = (await applicationOf(Service)).get(Service);
    service.run();
    service.run();
    expect(bound).toBe(1);
  });

  it('serve a class that another module also provides', async () => {
    @Module({ providers: [Prices], exports: [Prices] })
    class PricesModule {}
    const runtime = { provide: MESH_RUNTIME, useValue: new MeshRuntime() };
    const app = await Test.createTestingModule({
      imports: [{ module: class Global {}, global: true, providers: [runtime], exports: [runtime] }, PricesModule],
    }).compile();
    expect(app.get(Prices).price(1)).toBe('a(1 EUR)');
  });
});
