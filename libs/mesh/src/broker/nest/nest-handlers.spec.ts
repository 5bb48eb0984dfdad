import { readdirSync, readFileSync } from 'node:fs';
import {
  BadRequestException,
  type CallHandler,
  Catch,
  type ExceptionFilter,
  type ExecutionContext,
  ForbiddenException,
  Inject,
  Injectable,
  type INestApplicationContext,
  Module,
  type NestInterceptor,
  Param,
  ParseIntPipe,
  type PipeTransform,
  Scope,
  SetMetadata,
  UseFilters,
  UseGuards,
  UseInterceptors,
  Controller,
  Get,
  type OnModuleInit,
} from '@nestjs/common';
import { APP_GUARD, ApplicationConfig, ModuleRef, NestFactory, REQUEST, Reflector } from '@nestjs/core';
import { Ctx, EventPattern, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import * as nestConstants from '@nestjs/microservices/constants.js';
import { PatternHandler } from '@nestjs/microservices/enums/pattern-handler.enum.js';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { map, type Observable, of, throwError } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { brokerFixture } from '../../../../../test/broker/broker.fixture.js';
import type { Message, RequestMessage } from '../../core/broker.port.js';
import { isInProcess } from '../../core/in-process.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import { NoResponderError } from '../broker.errors.js';
import { InProcessBroker } from '../in-process.broker.js';
import { connectNestHandlers, connectSubscribers } from './nest-handlers.js';
import * as ourConstants from './pattern-metadata.js';
import { Subscribe } from './subscribe.decorator.js';

class StockError extends Error {
  readonly left = 3;
}

@Catch()
class OriginalErrors implements ExceptionFilter {
  catch(error: unknown): Observable<never> {
    return throwError(() => error);
  }
}
const originalErrors = new OriginalErrors();

const seen: unknown[] = [];

@Injectable()
class RolesGuard {
  constructor(private readonly reflector: Reflector) {}
  canActivate(context: ExecutionContext): boolean {
    if (context.getType() !== 'rpc') return true;
    const role = this.reflector.get<string | undefined>('role', context.getHandler());
    const { headers } = context.switchToRpc().getContext<RequestMessage>();
    if (role && headers['role'] !== role) throw new ForbiddenException(`needs ${role}`);
    return true;
  }
}

class Doubling implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((value) => (value as number) * 2));
  }
}

@Catch(StockError)
class StockFilter implements ExceptionFilter<StockError> {
  catch(error: StockError): Observable<unknown> {
    return of({ shortBy: error.left });
  }
}

class TrimStrings implements PipeTransform {
  transform(value: unknown): unknown {
    return typeof value === 'string' ? value.trim() : value;
  }
}

@Controller()
class Stock {
  @MessagePattern('stock.plain')
  plain(payload: { n: number }, ...rest: unknown[]): unknown {
    return { n: payload.n, rest: rest.length, own: this instanceof Stock };
  }

  @MessagePattern({ cmd: 'stock', v: 1 })
  async byObject(@Payload('n', ParseIntPipe) n: number, @Ctx() message: RequestMessage): Promise<unknown> {
    return { n, pattern: message.pattern, inProcess: isInProcess(message) };
  }

  @MessagePattern('stock.void')
  nothing(): void {}

  @MessagePattern('stock.stream')
  stream(): Observable<number> {
    return of(1, 2, 3);
  }

  @MessagePattern('stock.interceptor')
  @UseInterceptors(Doubling)
  doubled(n: number): number {
    return n;
  }

  @MessagePattern('stock.filtered')
  @UseFilters(StockFilter)
  filtered(): never {
    throw new StockError('short');
  }

  @MessagePattern('stock.fails')
  fails(@Payload() kind: string): never {
    if (kind === 'http') throw new BadRequestException('bad quantity');
    throw new StockError('short');
  }

  @MessagePattern('stock.admin')
  @SetMetadata('role', 'admin')
  @UseGuards(RolesGuard)
  admin(): string {
    return 'done';
  }

  @MessagePattern('stock.echo')
  echo(value: unknown): unknown {
    return value;
  }

  @MessagePattern('stock.tcp', Transport.TCP)
  tcp(): string {
    return 'never';
  }

  @EventPattern('order.placed')
  onPlaced(@Payload() order: unknown): void {
    seen.push(['Stock.onPlaced', order]);
  }

  @EventPattern('order.placed')
  onPlacedFails(@Payload() _order: unknown): void {
    throw new BadRequestException('no');
  }

  @Subscribe('order.placed', { concurrency: 1 })
  onPlacedToo(order: unknown, message: Message): void {
    seen.push(['Stock.onPlacedToo', order, message.topic, message.attempt]);
  }

  @Get('stock/:id')
  http(@Param('id') id: string): string {
    return id;
  }
}

@Controller({ scope: Scope.REQUEST })
class PerRequest {
  static made = 0;
  readonly number = ++PerRequest.made;
  constructor(@Inject(REQUEST) private readonly request: { data: unknown }) {}

  @MessagePattern('scoped')
  scoped(): unknown {
    return { number: this.number, data: this.request.data };
  }
}

@Injectable()
class Receipts {
  readonly got: unknown[] = [];
  @Subscribe('order.placed')
  @Subscribe('order.paid')
  on(payload: unknown, message: Message): void {
    this.got.push([message.topic, payload]);
  }
}

class Ledger {
  readonly got: unknown[] = [];
  @Subscribe('order.paid')
  on(payload: unknown): void {
    this.got.push(payload);
  }
}

interface AppParts {
  readonly controllers?: NonNullable<Parameters<typeof Module>[0]['controllers']>;
  readonly providers?: NonNullable<Parameters<typeof Module>[0]['providers']>;
  readonly inheritGlobals?: boolean;
}

function rootModule({ controllers = [Stock, PerRequest], providers = [], inheritGlobals = true }: AppParts = {}) {
  const fixture = brokerFixture();
  @Module({
    controllers,
    providers: [Receipts, { provide: 'LEDGER', useFactory: () => new Ledger() }, RolesGuard, ...providers],
  })
  class Root implements OnModuleInit {
    constructor(
      private readonly moduleRef: ModuleRef,
      private readonly config: ApplicationConfig,
    ) {
      config.useGlobalFilters(originalErrors);
    }
    async onModuleInit(): Promise<void> {
      const options = { inheritGlobals, ownFilters: [originalErrors] };
      await connectNestHandlers(this.moduleRef, this.config, fixture.broker, options);
      await connectSubscribers(this.moduleRef, fixture.broker);
    }
  }
  return { ...fixture, Root };
}

const open: INestApplicationContext[] = [];
afterEach(async () => {
  seen.length = 0;
  for (const app of open.splice(0)) await app.close();
});

const kinds = {
  Express: async (Root: new (...args: never[]) => unknown) => NestFactory.create(Root, { logger: false }),
  Fastify: async (Root: new (...args: never[]) => unknown) =>
    NestFactory.create(Root, new FastifyAdapter(), { logger: false }),
  'a standalone context': async (Root: new (...args: never[]) => unknown) =>
    NestFactory.createApplicationContext(Root, { logger: false }),
};

describe.each(Object.entries(kinds))('Nest handlers in %s', (kind, create) => {
  async function boot(parts: AppParts = {}, prepare: (app: INestApplicationContext) => void = () => undefined) {
    const { Root, ...fixture } = rootModule(parts);
    const app = await create(Root);
    open.push(app);
    prepare(app);
    await app.init();
    return { app, ...fixture };
  }

  it('answer by string and by object pattern, with their pipes and context', async () => {
    const { broker } = await boot();
    await expect(broker.request('stock.plain', { n: 1 })).resolves.toEqual({ n: 1, rest: 0, own: true });
    await expect(broker.request({ v: 1, cmd: 'stock' }, { n: '7' })).resolves.toEqual({
      n: 7,
      pattern: '{"cmd":"stock","v":1}',
      inProcess: true,
    });
    await expect(broker.request({ v: 1, cmd: 'stock' }, { n: 'x' })).rejects.toThrow(BadRequestException);
    await expect(broker.request('stock.void')).resolves.toBeUndefined();
    await expect(broker.request('stock.stream')).resolves.toBe(3);
  });

  it('run through guards, interceptors and filters of their method', async () => {
    const { broker } = await boot();
    await expect(broker.request('stock.interceptor', 4)).resolves.toBe(8);
    await expect(broker.request('stock.filtered')).resolves.toEqual({ shortBy: 3 });
    await expect(broker.request('stock.admin')).rejects.toThrow(new ForbiddenException('needs admin'));
    await expect(broker.request('stock.admin', null, { headers: { role: 'admin' } })).resolves.toBe('done');
  });

  it('reject with the original error', async () => {
    const { broker } = await boot();
    await expect(broker.request('stock.fails')).rejects.toSatisfy(
      (error) => error instanceof StockError && error.left === 3,
    );
    await expect(broker.request('stock.fails', 'http')).rejects.toThrow(new BadRequestException('bad quantity'));
  });

  it('are made anew for each request when request-scoped', async () => {
    const { broker } = await boot();
    const first = await broker.request<{ number: number }>('scoped', 'a');
    const second = await broker.request<{ number: number }>('scoped', 'b');
    expect(first).toMatchObject({ data: 'a' });
    expect(second).toEqual({ number: first.number + 1, data: 'b' });
  });

  it('leave out what another transport serves', async () => {
    const { broker } = await boot();
    await expect(broker.request('stock.tcp')).rejects.toThrow(NoResponderError);
  });

  it('each get an event on their own, controllers and providers alike', async () => {
    const { broker, app, clock, events } = await boot();
    const failed: string[] = [];
    events.on('broker.handler-failed', ({ handler }) => failed.push(handler));
    await expect(broker.publish('order.placed', { id: 1 })).resolves.toMatchObject({ receivers: 4 });
    await broker.publish('order.paid', { id: 2 });
    await clock.advance(0);
    await clock.advance(0);
    expect(seen).toEqual([
      ['Stock.onPlaced', { id: 1 }],
      ['Stock.onPlacedToo', { id: 1 }, 'order.placed', 1],
    ]);
    expect(app.get(Receipts).got).toEqual([
      ['order.placed', { id: 1 }],
      ['order.paid', { id: 2 }],
    ]);
    expect((app.get('LEDGER') as Ledger).got).toEqual([{ id: 2 }]);
    expect(failed).toEqual(['Stock.onPlacedFails']);
  });

  it("pass the application's global guards, pipes and interceptors", async () => {
    const providers = [{ provide: APP_GUARD, useClass: RolesGuard }];
    const { broker } = await boot({ providers }, (app) => {
      if (!('useGlobalPipes' in app)) return;
      (app as never as { useGlobalPipes(...pipes: PipeTransform[]): void }).useGlobalPipes(new TrimStrings());
      (app as never as { useGlobalInterceptors(i: NestInterceptor): void }).useGlobalInterceptors({
        intercept: (_context: ExecutionContext, next: CallHandler) => next.handle().pipe(map((value) => [value])),
      });
    });
    const isHttp = kind !== 'a standalone context';
    await expect(broker.request('stock.echo', ' a ')).resolves.toEqual(isHttp ? ['a'] : ' a ');
    await expect(broker.request('stock.admin')).rejects.toThrow(ForbiddenException);
    await expect(broker.request('stock.fails')).rejects.toThrow(StockError);
  });

  it('skip global enhancers when told so', async () => {
    const deny = { provide: APP_GUARD, useValue: { canActivate: () => false } };
    const { broker } = await boot({ providers: [deny], inheritGlobals: false });
    await expect(broker.request('stock.echo', 1)).resolves.toBe(1);
    await expect(broker.request('stock.fails')).rejects.toThrow(StockError);
  });
});

describe('boot', () => {
  async function boot(parts: AppParts): Promise<InProcessBroker> {
    const { Root, broker } = rootModule(parts);
    open.push(await NestFactory.createApplicationContext(Root, { logger: false, abortOnError: false }));
    return broker;
  }

  it('refuses two handlers of one pattern, naming both', async () => {
    @Controller()
    class Other {
      @MessagePattern('stock.plain')
      twice(): void {}
    }
    await expect(boot({ controllers: [Stock, Other] })).rejects.toThrow(/Stock\.plain and by Other\.twice/);
  });

  it.each([Scope.REQUEST, Scope.TRANSIENT])('refuses @Subscribe on a provider of scope %s', async (scope) => {
    @Injectable({ scope })
    class Short {
      @Subscribe('order.placed')
      on(_event: unknown): void {}
    }
    await expect(boot({ providers: [Short] })).rejects.toThrow(/Short\.on has @Subscribe.*singleton/);
  });

  it('refuses @Subscribe beside another pattern, in either order', async () => {
    @Controller()
    class Above {
      @EventPattern('a')
      @Subscribe('b')
      on(_event: unknown): void {}
    }
    await expect(boot({ controllers: [Above] })).rejects.toThrow(MeshConfigError);
    expect(() => {
      class Below {
        @Subscribe('b')
        @EventPattern('a')
        on(_event: unknown): void {}
      }
      return Below;
    }).toThrow(/Below\.on has @Subscribe beside/);
  });

  it('works without any handler', async () => {
    expect((await boot({ controllers: [] })).handlers.size).toBe(0);
  });
});

it("knows Nest's metadata keys", () => {
  expect(ourConstants.PATTERN).toBe(nestConstants.PATTERN_METADATA);
  expect(ourConstants.PATTERN_EXTRAS).toBe(nestConstants.PATTERN_EXTRAS_METADATA);
  expect(ourConstants.PATTERN_HANDLER).toBe(nestConstants.PATTERN_HANDLER_METADATA);
  expect(ourConstants.PATTERN_TRANSPORT).toBe(nestConstants.TRANSPORT_METADATA);
  expect(ourConstants.PARAM_ARGS).toBe(nestConstants.PARAM_ARGS_METADATA);
  expect(ourConstants.EVENT_HANDLER).toBe(PatternHandler.EVENT);
});

it('loads @nestjs/microservices only for applications that have handlers', () => {
  const folder = new URL('../', import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => !file.endsWith('.spec.ts'));
  const loading = files.filter(
    (file) =>
      file.endsWith('.ts') &&
      /^import (?!type ).*from '(@nestjs\/microservices|\.\/bind-controllers\.js|\.\/mesh\.strategy\.js)/m.test(
        readFileSync(new URL(file, folder), 'utf8'),
      ),
  );
  expect(loading.sort()).toEqual(['nest/bind-controllers.ts', 'nest/mesh.strategy.ts']);
});
