import { ConsoleLogger, Inject, Injectable, Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InjectPinoLogger, LoggerModule, PinoLogger, Logger as NestPinoLogger } from 'nestjs-pino';
import { afterEach, describe, expect, it } from 'vitest';
import { CallContexts } from '../core/call-context.js';
import { SystemClock } from '../core/clock.js';
import { fixedOptions } from '../core/live-options.js';
import { ServiceInfo } from '../core/service-info.js';
import { LogSink } from './log-sink.js';
import { resetProcessRoot } from './logging.fixture.js';
import { loggingSchema } from './logging.options.js';
import { type LoggingMode, meshLoggerModule, PinoLog } from './pino.adapter.js';

class Lines {
  readonly lines: string[] = [];
  write(line: string): void {
    this.lines.push(line);
  }
  get json(): Record<string, unknown>[] {
    return this.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }
  of(message: string) {
    return this.json.filter(({ msg }) => msg === message);
  }
}

@Injectable()
class Greeter {
  readonly #nest = new Logger('Greeter');
  constructor(
    @Inject(PinoLogger) readonly pino: PinoLogger,
    @InjectPinoLogger('Hello') readonly decorated: PinoLogger,
  ) {}
  greet() {
    this.pino.info('from PinoLogger');
    this.decorated.info('from InjectPinoLogger');
    this.#nest.log('from Nest');
  }
}

class ChosenLogger extends ConsoleLogger {
  readonly seen: unknown[] = [];
  override log(message: unknown) {
    this.seen.push(message);
  }
}

function setup(name: string, options: Record<string, unknown> = {}) {
  const out = new Lines();
  const contexts = new CallContexts();
  const service = new ServiceInfo(name, `${name}-1`);
  const log = new PinoLog({
    options: fixedOptions(loggingSchema.parse(options)),
    service,
    contexts,
    clock: new SystemClock(),
    destination: out,
  });
  const kernel = [
    { provide: PinoLog, useValue: log },
    { provide: ServiceInfo, useValue: service },
    { provide: CallContexts, useValue: contexts },
  ];
  @Module({ providers: kernel, exports: [PinoLog, ServiceInfo, CallContexts] })
  class Kernel {}
  const mesh = (mode: LoggingMode = 'own') => ({
    module: MeshStub,
    imports: [Kernel, meshLoggerModule([Kernel], mode)],
  });
  class MeshStub {}
  return { out, contexts, log, mesh };
}

async function boot(imports: NonNullable<Parameters<typeof Module>[0]['imports']>, bufferLogs = true) {
  @Module({ imports, providers: [Greeter] })
  class App {}
  return NestFactory.createApplicationContext(App, { bufferLogs });
}

const CONTEXT = {
  correlationId: 'c-1',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
};

describe('PinoLog', () => {
  it('writes one JSON line with level, service and instance', () => {
    const { log, out } = setup('shop');
    log.write('warn', { event: 'x' }, 'hello');
    expect(out.json).toEqual([
      { level: 'warn', time: expect.any(Number), service: 'shop', instance: 'shop-1', event: 'x', msg: 'hello' },
    ]);
  });

  it('adds correlation and trace id inside a call, and nothing outside', () => {
    const { log, out, contexts } = setup('shop');
    contexts.run(CONTEXT, () => log.write('info', {}, 'in'));
    log.write('info', {}, 'out');
    expect(out.of('in')[0]).toMatchObject({
      correlationId: 'c-1',
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
    });
    expect(out.of('out')[0]).not.toHaveProperty('correlationId');
  });

  it('never writes planted secrets, wherever they hide', () => {
    const { log, out } = setup('shop', { redact: ['cardNumber'] });
    const failed = Object.assign(new Error('connect redis://app:planted@cache:6379 failed'), {
      config: { headers: { Authorization: 'planted', accept: '*/*' } },
      cause: new Error('http://u:planted@h/'),
    });
    class User {
      name = 'Ada';
      password = 'planted';
    }
    log.write('error', { err: failed, user: new User(), list: [{ api_key: 'planted' }] }, 'see http://a:planted@b/c');
    log.write('info', { card: { cardNumber: 'planted' }, 'set-cookie': ['planted'] }, 'm');
    log.pino.child({ token: 'planted' }).info('child');
    const text = out.lines.join('');
    expect(text).not.toContain('planted');
    expect(text).toContain('Ada');
    expect(out.json[0]).toMatchObject({ err: { type: 'Error', stack: expect.stringContaining('pino.adapter.spec') } });
  });

  it('leaves the logged objects as they were', () => {
    const { log } = setup('shop');
    const user = { password: 'p', nested: { token: 't' } };
    log.write('info', { user }, 'm');
    expect(user).toEqual({ password: 'p', nested: { token: 't' } });
  });

  it('writes a cycle without hanging', () => {
    const { log, out } = setup('shop');
    const cyclic: Record<string, unknown> = { password: 'p' };
    cyclic['self'] = cyclic;
    log.write('info', { cyclic }, 'm');
    expect(out.lines.join('')).not.toContain('"p"');
  });

  it('follows the level', () => {
    const out = new Lines();
    let change: (next: ReturnType<typeof loggingSchema.parse>) => void = () => undefined;
    const current = loggingSchema.parse({ level: 'warn' });
    const log = new PinoLog({
      options: {
        current,
        onChange: (listener) => {
          change = (next) => listener(next, current);
          return () => undefined;
        },
      },
      service: new ServiceInfo('shop', '1'),
      contexts: new CallContexts(),
      clock: new SystemClock(),
      destination: out,
    });
    log.write('info', {}, 'before');
    change(loggingSchema.parse({ level: 'info' }));
    log.write('info', {}, 'after');
    expect(out.json.map(({ msg }) => msg)).toEqual(['after']);
  });

  it('gives up a flush that never ends after its time', async () => {
    const { log } = setup('shop');
    log.pino.flush = () => undefined;
    await log.flush(5);
  });
});

describe('meshLoggerModule', () => {
  afterEach(() => {
    Logger.overrideLogger(false);
    Logger.flush();
    Logger.overrideLogger(new ConsoleLogger());
  });

  it('serves PinoLogger, @InjectPinoLogger and Logger of nestjs-pino, and the lines of Nest', async () => {
    const { out, mesh, contexts } = setup('shop');
    const app = await boot([mesh()]);
    contexts.run(CONTEXT, () => app.get(Greeter).greet());
    for (const message of ['from PinoLogger', 'from InjectPinoLogger', 'from Nest'])
      expect(out.of(message)[0], message).toMatchObject({ service: 'shop', correlationId: 'c-1' });
    expect(out.of('from InjectPinoLogger')[0]).toMatchObject({ context: 'Hello' });
    expect(out.json.some(({ context }) => context === 'InstanceLoader')).toBe(true);
    expect(app.get(NestPinoLogger)).toBeDefined();
    await app.close();
  });

  it('keeps the lines of two applications in one process apart', async () => {
    const a = setup('a');
    const b = setup('b');
    const [appA, appB] = [await boot([a.mesh()]), await boot([b.mesh()])];
    appA.get(Greeter).greet();
    appB.get(Greeter).greet();
    expect(a.out.of('from PinoLogger').map(({ service }) => service)).toEqual(['a']);
    expect(b.out.of('from PinoLogger').map(({ service }) => service)).toEqual(['b']);
    await appA.close();
    await appB.close();
  });

  it('yields to the logger of a host that imports LoggerModule itself, in either order', async () => {
    for (const meshFirst of [true, false]) {
      const hostOut = new Lines();
      const { out, mesh, contexts } = setup('shop');
      const host = LoggerModule.forRootAsync({
        useFactory: async () => ({ pinoHttp: [{ name: 'host' }, hostOut] as never, forRoutes: [] }),
      });
      await resetProcessRoot();
      const app = await boot(meshFirst ? [mesh(), host] : [host, mesh()]);
      contexts.run(CONTEXT, () => app.get(LogSink).write('info', { password: 'p' }, 'from the mesh'));
      app.get(Greeter).greet();
      expect(out.lines).toEqual([]);
      expect(hostOut.of('from the mesh')[0]).toMatchObject({
        name: 'host',
        service: 'shop',
        correlationId: 'c-1',
        password: '***',
      });
      expect(hostOut.of('from PinoLogger')).toHaveLength(1);
      await app.get(LogSink).flush(50);
      await app.close();
    }
  });

  it.each([
    ['null', null, 'null, or an object without fields'],
    ['undefined', undefined, 'undefined'],
    ['a number', 42, '42'],
    ['a symbol', Symbol('stop'), 'Symbol(stop)'],
    ['a function', function late() {}, '[Function: late]'],
    ['an error', new Error('boom'), 'boom'],
    ['text', 'boom', 'boom'],
  ])('says as text that %s was thrown', async (_, thrown, msg) => {
    const { out, mesh } = setup('shop');
    const app = await boot([mesh()]);
    app.get(NestPinoLogger).error(thrown, 'ExceptionsHandler');
    app.get(NestPinoLogger).error(thrown);
    expect(out.json.slice(-2).map((line) => line['msg'])).toEqual([msg, msg]);
    await app.close();
  });

  it('writes an error under either of its usual names', () => {
    const { out, log } = setup('shop');
    const error = Object.assign(new Error('boom'), { password: 'planted' });
    log.pino.error({ error }, 'failed');
    log.pino.error({ err: error }, 'failed');
    expect(out.json.map((line) => line['error'] ?? line['err'])).toEqual([
      expect.objectContaining({ message: 'boom', stack: expect.any(String), password: '***' }),
      expect.objectContaining({ message: 'boom', stack: expect.any(String), password: '***' }),
    ]);
  });

  it('fails nobody who logs what throws when it is read', () => {
    const { out, log } = setup('shop');
    const explode = () => {
      throw new Error('read');
    };
    log.pino.error({ err: Object.defineProperty(new Error('boom'), 'stack', { get: explode }) }, 'first');
    log.pino.error(Object.defineProperty({}, 'field', { get: explode, enumerable: true }), 'second');
    expect(out.json.map(({ msg }) => msg)).toEqual(['first', 'second']);
  });

  it("writes the mesh's lines through the application's logger in the mode existing", async () => {
    const { out, mesh, contexts } = setup('shop');
    const chosen = new ChosenLogger();
    Logger.overrideLogger(chosen);
    @Module({ imports: [mesh('existing')] })
    class App {}
    const app = await NestFactory.createApplicationContext(App);
    contexts.run(CONTEXT, () => app.get(LogSink).write('info', { event: 'x', token: 'planted' }, 'hello'));
    expect(chosen.seen.at(-1)).toEqual({
      service: 'shop',
      instance: 'shop-1',
      correlationId: 'c-1',
      traceId: expect.any(String),
      spanId: expect.any(String),
      event: 'x',
      token: '***',
      msg: 'hello',
    });
    expect(out.lines).toEqual([]);
    await app.close();
  });

  it('writes nothing in the mode false', async () => {
    const { out, mesh } = setup('shop');
    const chosen = new ChosenLogger();
    Logger.overrideLogger(chosen);
    @Module({ imports: [mesh(false)] })
    class App {}
    const app = await NestFactory.createApplicationContext(App);
    const before = chosen.seen.length;
    app.get(LogSink).write('error', {}, 'hello');
    expect(chosen.seen).toHaveLength(before);
    expect(out.lines).toEqual([]);
    await app.close();
  });

  it('leaves a logger alone that the application chose', async () => {
    const { out, mesh } = setup('shop');
    const chosen = new ChosenLogger();
    Logger.overrideLogger(chosen);
    const app = await boot([mesh()], false);
    app.get(Greeter).greet();
    expect(out.of('from Nest')).toEqual([]);
    await app.close();
    expect(chosen.seen).toContain('from Nest');
  });

  it('leaves the lines of Nest alone when told to', async () => {
    const { out, mesh } = setup('shop', { adoptNestLogger: false });
    Logger.overrideLogger(new ConsoleLogger());
    const app = await boot([mesh()]);
    expect(out.lines).toEqual([]);
    Logger.overrideLogger(false);
    await app.close();
  });
});
