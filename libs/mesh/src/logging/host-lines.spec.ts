import { inspect } from 'node:util';
import { ConsoleLogger, Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { LoggerModule } from 'nestjs-pino';
import { afterEach, describe, expect, it } from 'vitest';
import { CallContexts } from '../core/call-context.js';
import { SystemClock } from '../core/clock.js';
import { fixedOptions } from '../core/live-options.js';
import { MeshError } from '../core/mesh.error.js';
import { ServiceInfo } from '../core/service-info.js';
import { HostLines } from './host-lines.js';
import { LogSink } from './log-sink.js';
import { resetProcessRoot } from './logging.fixture.js';
import { loggingSchema } from './logging.options.js';
import { meshLoggerModule, PinoLog } from './pino.adapter.js';
import { Redaction } from './redaction.js';

const HEADERS = Symbol('headers');

/** As an HTTP client's: what it holds shows in `inspect` only. */
class Request {
  readonly [HEADERS] = { authorization: 'hunter2' };
}

class ConnectError extends TypeError {}

function plantedError(): ConnectError {
  const cause = new AggregateError([new Error('one http://u:hunter2@h/')], 'all of redis://:hunter2@h');
  return Object.assign(new ConnectError('connect redis://u:hunter2@h failed', { cause }), {
    code: 'ECONNREFUSED',
    url: 'amqp://u:hunter2@h',
    config: { headers: { Authorization: 'hunter2' }, card: { cardNumber: 'hunter2' } },
    request: new Request(),
  });
}

/** Logs what is planted in every place where a line can hold it. */
function logPlanted(sink: LogSink): void {
  const fields = { event: 'x', token: 'hunter2', url: 'redis://u:hunter2@h', who: { cardNumber: 'hunter2' } };
  sink.write('error', { ...fields, err: plantedError() }, 'failed: redis://u:hunter2@h');
}

function kernelOf(options: Record<string, unknown>) {
  const log = new PinoLog({
    options: fixedOptions(loggingSchema.parse(options)),
    service: new ServiceInfo('shop', 'shop-1', '1.4.0'),
    contexts: new CallContexts(),
    clock: new SystemClock(),
    destination: { write: () => undefined },
  });
  @Module({ providers: [{ provide: PinoLog, useValue: log }], exports: [PinoLog] })
  class Kernel {}
  return Kernel;
}

async function boot(imports: NonNullable<Parameters<typeof Module>[0]['imports']>) {
  @Module({ imports })
  class App {}
  return NestFactory.createApplicationContext(App, { logger: false });
}

describe('lines through the logger of a host', () => {
  const options = { redact: ['cardNumber'] };

  afterEach(() => Logger.overrideLogger(new ConsoleLogger()));

  it.each([{}, { json: true }])(
    "hold no planted secret in the mode existing, with Nest's own logger and %j",
    async (how) => {
      const app = await boot([meshLoggerModule([kernelOf(options)], 'existing')]);
      Logger.overrideLogger(new ConsoleLogger({ colors: false, ...how }));
      const printed = capture();
      logPlanted(app.get(LogSink));
      const text = printed();
      await app.close();
      expect(text).not.toContain('hunter2');
      const places = ['failed: redis', 'connect redis', 'all of redis', 'one http'].map((place) => `${place}://***@h`);
      for (const kept of [...places, 'ConnectError', 'ECONNREFUSED', 'host-lines.spec']) expect(text).toContain(kept);
    },
  );

  it("hold no planted secret in the lines of the host's own LoggerModule", async () => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const host = LoggerModule.forRoot({ pinoHttp: [{}, destination] as never, forRoutes: [] });
    await resetProcessRoot();
    const kernel = kernelOf(options);
    const app = await boot([meshLoggerModule([kernel]), host]);
    logPlanted(app.get(LogSink));
    await app.close();
    const line = lines.find((text) => text.includes('"event":"x"'))!;
    expect(line).not.toContain('hunter2');
    expect(JSON.parse(line)).toMatchObject({
      msg: 'failed: redis://***@h',
      service: 'shop',
      version: '1.4.0',
      err: {
        type: 'ConnectError',
        code: 'ECONNREFUSED',
        message: 'connect redis://***@h failed: all of redis://***@h',
        stack: expect.stringContaining('host-lines.spec'),
      },
    });
  });
});

describe('HostLines', () => {
  const lines = new HostLines(new ServiceInfo('shop', '1'), new CallContexts(), new Redaction());
  const errorOf = (error: unknown) => lines.fields({ err: error })['err'] as Error;

  it('leaves the error itself as it was, and hands over one of its class', () => {
    const error = plantedError();
    const copy = errorOf(error);
    expect(error.message).toContain('hunter2');
    expect(copy).toBeInstanceOf(ConnectError);
    expect(copy.cause).toBeInstanceOf(AggregateError);
    expect((copy.cause as AggregateError).errors).toMatchObject([{ message: 'one http://***@h/' }]);
    expect(Object.keys(copy)).toEqual(['code', 'url', 'config', 'request']);
  });

  it('prints an error of the mesh as it prints itself', () => {
    const error = new MeshError('no redis://u:hunter2@h', { code: 'MESH_X', cause: new Error('redis://:hunter2@h') });
    const text = inspect(errorOf(error));
    expect(text).toContain("code: 'MESH_X'");
    expect(text).not.toContain('hunter2');
  });

  it('ends with a cause that is its own cause, and survives one that cannot be read', () => {
    const cycle = new Error('a');
    cycle.cause = cycle;
    expect(inspect(errorOf(cycle), { depth: 20 })).toContain('[…]');
    const broken = Object.defineProperty(new Error('a'), 'stack', {
      get() {
        throw new Error('no');
      },
    });
    expect(errorOf(broken)).toBe('[unreadable]');
  });
});

/** Keeps what is printed from being seen, and gives it back. */
function capture(): () => string {
  const texts: string[] = [];
  const streams = [process.stdout, process.stderr];
  const writes = streams.map(({ write }) => write);
  for (const stream of streams) stream.write = ((text: string) => texts.push(text) > 0) as typeof stream.write;
  return () => {
    streams.forEach((stream, i) => (stream.write = writes[i]!));
    return texts.join('');
  };
}
