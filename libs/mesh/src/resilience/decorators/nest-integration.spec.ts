import type { AddressInfo } from 'node:net';
import {
  applyDecorators,
  type CallHandler,
  type CanActivate,
  Controller,
  createParamDecorator,
  type ExecutionContext,
  Get,
  type INestApplication,
  Inject,
  Injectable,
  type NestInterceptor,
  Param,
  ParseIntPipe,
  Scope,
  SetMetadata,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, Reflector, REQUEST } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { map, type Observable, of, throwError } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runtimeModule } from '../../../../../test/resilience/decorated.fixture.js';
import { ResilienceFixture } from '../../../../../test/resilience/resilience.fixture.js';
import { MeshExceptionFilter } from '../filters/mesh-exception.filter.js';
import { Fallback } from './fallback.decorator.js';
import { CircuitBreaker, Timeout } from './protection.decorators.js';
import { Resilient } from './resilient.decorator.js';

const Roles = (...roles: string[]) => SetMetadata('roles', roles);
const Agent = createParamDecorator(
  (_data: unknown, context: ExecutionContext) =>
    context.switchToHttp().getRequest<{ headers: Record<string, string> }>().headers['x-agent'],
);
const failures = { failureRatio: 0.5, minimumCalls: 2 };

@Injectable()
class RolesGuard implements CanActivate {
  constructor(@Inject(Reflector) private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const roles = this.reflector.getAllAndOverride<string[]>('roles', [context.getHandler(), context.getClass()]) ?? [];
    const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string> }>();
    return roles.length === 0 || roles.includes(headers['x-role'] ?? '');
  }
}

@Injectable()
class Envelope implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((data: unknown) => ({ data })));
  }
}

@Controller('orders')
@UseGuards(RolesGuard)
class Orders {
  calls = 0;

  @CircuitBreaker('above', failures)
  @Get('above/:id')
  @Roles('admin')
  async above(@Param('id', ParseIntPipe) id: number, @Agent() agent: string): Promise<object> {
    this.calls++;
    return { id, agent };
  }

  @Get('below/:id')
  @Roles('admin')
  @UseInterceptors(Envelope)
  @CircuitBreaker('below', failures)
  async below(@Param('id', ParseIntPipe) id: number): Promise<object> {
    return { id };
  }

  @applyDecorators(
    Get('failing'),
    CircuitBreaker('failing', { ...failures, openMs: 4_000, openJitterRatio: 0 }) as MethodDecorator,
  )
  async failing(): Promise<object> {
    throw new Error('callee down');
  }

  @Timeout(5_000)
  @Fallback(() => of({ from: 'fallback' }))
  @CircuitBreaker('stream', failures)
  @Get('stream/:fail')
  stream(@Param('fail') fail: string): Observable<object> {
    return fail === 'yes' ? throwError(() => new Error('callee down')) : of({ from: 'stream' });
  }
}

@Controller({ path: 'mine', scope: Scope.REQUEST })
class PerRequest {
  constructor(@Inject(REQUEST) private readonly request: { headers: Record<string, string> }) {}

  @Get()
  @Resilient('mine', { timeoutMs: 5_000 })
  async mine(): Promise<object> {
    return { agent: this.request.headers['x-agent'] };
  }
}

describe.each([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
])('decorated controllers on %s', (_name, adapter) => {
  let fixture: ResilienceFixture;
  let app: INestApplication;
  let url: string;

  beforeEach(async () => {
    fixture = new ResilienceFixture();
    const module = await Test.createTestingModule({
      imports: [runtimeModule(fixture)],
      controllers: [Orders, PerRequest],
      providers: [RolesGuard, Envelope],
    }).compile();
    module.get(ApplicationConfig).useGlobalFilters(new MeshExceptionFilter(module.get(HttpAdapterHost)));
    app = module.createNestApplication(adapter(), { logger: false });
    await app.listen(0, '127.0.0.1');
    url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    await app.close();
    await fixture.close();
  });

  async function get(path: string, headers: Record<string, string> = {}) {
    const response = await fetch(`${url}/${path}`, { headers });
    return { status: response.status, body: (await response.json()) as unknown, headers: response.headers };
  }
  const admin = { 'x-role': 'admin', 'x-agent': 'curl' };
  const callsOf = (policy: string): number => fixture.manager.breaker(policy).snapshot().calls;

  it('lets guards read roles through the decorator, above and below', async () => {
    expect((await get('orders/above/1')).status).toBe(403);
    expect((await get('orders/below/1')).status).toBe(403);
    expect(callsOf('above') + callsOf('below')).toBe(0);
  });

  it('leaves pipes and custom parameter decorators to work, and to refuse before the breaker', async () => {
    expect(await get('orders/above/7', admin)).toMatchObject({ status: 200, body: { id: 7, agent: 'curl' } });
    expect((await get('orders/above/seven', admin)).status).toBe(400);
    expect(callsOf('above')).toBe(1);
  });

  it('leaves interceptors around the call', async () => {
    expect((await get('orders/below/7', admin)).body).toEqual({ data: { id: 7 } });
  });

  it('answers 503 with Retry-After once the circuit is open', async () => {
    expect((await get('orders/failing')).status).toBe(500);
    expect((await get('orders/failing')).status).toBe(500);
    const refused = await get('orders/failing');
    expect([refused.status, refused.headers.get('retry-after'), refused.body]).toMatchObject([
      503,
      '4',
      { code: 'MESH_CIRCUIT_OPEN' },
    ]);
  });

  it('serves an Observable, and its fallback', async () => {
    expect((await get('orders/stream/no')).body).toEqual({ from: 'stream' });
    expect((await get('orders/stream/yes')).body).toEqual({ from: 'fallback' });
    expect(callsOf('stream')).toBe(2);
  });

  it('serves a request-scoped controller with its own request', async () => {
    const [one, two] = await Promise.all([get('mine', { 'x-agent': 'one' }), get('mine', { 'x-agent': 'two' })]);
    expect([one.body, two.body]).toEqual([{ agent: 'one' }, { agent: 'two' }]);
    expect(callsOf('mine')).toBe(2);
  });
});
