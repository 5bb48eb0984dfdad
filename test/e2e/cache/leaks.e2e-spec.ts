import { CacheInterceptor, CacheKey, CacheModule } from '@nestjs/cache-manager';
import {
  type CallHandler,
  Controller,
  type DynamicModule,
  type ExecutionContext,
  Get,
  Header,
  Headers,
  type INestApplication,
  Module,
  type NestInterceptor,
  type Type,
  UseInterceptors,
} from '@nestjs/common';
import { APP_INTERCEPTOR, NestFactory } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import KeyvRedis from '@keyv/redis';
import { Keyv } from 'keyv';
import { Cacheable, HttpCache, MeshModule } from 'nestjs-mesh';
import { firstValueFrom, map } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RedisServer } from '../../chaos/cache/redis-server.js';
import { freePort } from '../../free-port.js';

/** What class-transformer's `@Exclude` is for: an entity has more than its readers may see. */
class User {
  constructor(
    readonly id: number,
    readonly password: string,
  ) {}
}

/** As ClassSerializerInterceptor: it knows an entity by its class. */
class HidePasswords implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler) {
    return next.handle().pipe(map((value) => (value instanceof User ? { id: value.id } : value)));
  }
}

/** The same routes, cached in one way or the other. */
function pages(prefix: string, cached: MethodDecorator): Type {
  @Controller(prefix)
  class Pages {
    @Get('me')
    @cached
    me(@Headers('authorization') who = 'nobody') {
      return { me: who };
    }

    @Get('secret')
    @Header('Cache-Control', 'private, no-store')
    @cached
    secret(@Headers('x-run') run?: string) {
      return { run };
    }

    @Get('user')
    @cached
    user() {
      return new User(1, 'HASH');
    }
  }
  return Pages;
}

const Theirs = pages('theirs', UseInterceptors(CacheInterceptor));
const Ours = pages('ours', HttpCache({ ttlMs: 60_000 }));

let redis: RedisServer;
const apps: INestApplication[] = [];

/** One instance of a service that has both caches, each with its values in the same Redis. */
async function instance(): Promise<string> {
  const cacheModule = CacheModule.registerAsync({
    isGlobal: true,
    useFactory: () => ({ ttl: 60_000, stores: [new Keyv({ store: new KeyvRedis(redis.url) })] }),
  });
  const app = await NestFactory.create(
    root(
      [
        MeshModule.forRoot(
          { service: { name: 'leaks' }, cache: { redis: { url: redis.url }, secondTier: { required: true } } },
          { cacheManager: false, logging: false },
        ),
        cacheModule,
      ],
      [Theirs, Ours],
    ),
    { logger: false },
  );
  apps.push(app);
  await app.listen(0, '127.0.0.1');
  return app.getUrl();
}

function root(imports: DynamicModule[], controllers: Type[]): Type {
  @Module({ imports, controllers, providers: [{ provide: APP_INTERCEPTOR, useClass: HidePasswords }] })
  class AppModule {}
  return AppModule;
}

describe('what the interceptor of @nestjs/cache-manager gives away, and @HttpCache does not', () => {
  let url: string;
  let other: string;

  beforeAll(async () => {
    redis = await RedisServer.start();
    [url, other] = [await instance(), await instance()];
  });

  afterAll(async () => {
    await Promise.all(apps.map((app) => app.close()));
    await redis.kill();
  });

  const get = async (path: string, headers: Record<string, string> = {}, base = url): Promise<unknown> =>
    (await fetch(`${base}/${path}`, { headers })).json();

  it('the answer to one user, to another and to nobody', async () => {
    const everybody = async (which: string) => [
      await get(`${which}/me`, { authorization: 'ann' }),
      await get(`${which}/me`, { authorization: 'bob' }),
      await get(`${which}/me`),
    ];
    expect(await everybody('theirs')).toEqual([{ me: 'ann' }, { me: 'ann' }, { me: 'ann' }]);
    expect(await everybody('ours')).toEqual([{ me: 'ann' }, { me: 'bob' }, { me: 'nobody' }]);
  });

  it('an answer that says no-store', async () => {
    const twice = async (which: string) => [
      await get(`${which}/secret`, { 'x-run': '1' }),
      await get(`${which}/secret`, { 'x-run': '2' }),
    ];
    expect(await twice('theirs')).toEqual([{ run: '1' }, { run: '1' }]);
    expect(await twice('ours')).toEqual([{ run: '1' }, { run: '2' }]);
  });

  it('fields that were excluded, once an answer comes out of Redis', async () => {
    expect(await get('theirs/user')).toEqual({ id: 1 });
    expect(await get('theirs/user')).toEqual({ id: 1, password: 'HASH' });

    expect(await get('ours/user')).toEqual({ id: 1 });
    expect(await get('ours/user')).toEqual({ id: 1 });
    // The other instance has it from Redis alone.
    const cacheStatus = async () => (await fetch(`${other}/ours/user`)).headers.get('cache-status');
    await expect.poll(cacheStatus, { timeout: 5_000 }).toContain('hit');
    expect(await get('ours/user', {}, other)).toEqual({ id: 1 });
    expect(await redis.command('KEYS *ours*')).toContain('/ours/user');
  });
});

describe('messages', () => {
  @Controller()
  class Sums {
    @MessagePattern('theirs')
    @UseInterceptors(CacheInterceptor)
    @CacheKey('sum')
    theirs(@Payload() n: number): number {
      return n + 1;
    }

    @MessagePattern('ours')
    @Cacheable()
    async ours(@Payload() n: number): Promise<number> {
      return n + 1;
    }
  }

  it('get the answer to another message from the interceptor, and their own from @Cacheable', async () => {
    const options = { host: '127.0.0.1', port: await freePort() };
    const mesh = MeshModule.forRoot({ service: { name: 'sums' } }, { cacheManager: false, logging: false });
    const app = await NestFactory.createMicroservice(root([mesh, CacheModule.register()], [Sums]), {
      transport: Transport.TCP,
      options,
      logger: false,
    });
    await app.listen();
    const client = ClientProxyFactory.create({ transport: Transport.TCP, options });
    const ask = (pattern: string, n: number): Promise<number> => firstValueFrom(client.send<number>(pattern, n));
    expect([await ask('theirs', 1), await ask('theirs', 2)]).toEqual([2, 2]);
    expect([await ask('ours', 1), await ask('ours', 2), await ask('ours', 1)]).toEqual([2, 3, 2]);
    await client.close();
    await app.close();
  });
});
