import { inspect } from 'node:util';
import {
  ConsoleLogger,
  type DynamicModule,
  Inject,
  Logger as NestLogger,
  Module,
  type Provider,
  Scope,
} from '@nestjs/common';
import { Logger as PinoNestLogger, LoggerModule, PARAMS_PROVIDER_TOKEN, type Params, PinoLogger } from 'nestjs-pino';
import { type DestinationStream, type Logger as Pino, pino, stdSerializers, symbols } from 'pino';
import type { CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { LiveOptions } from '../core/live-options.js';
import { isMeshError } from '../core/mesh.error.js';
import type { ServiceInfo } from '../core/service-info.js';
import { callLogFields } from './call-log-fields.js';
import { HostLines } from './host-lines.js';
import { type LogFields, type LogLevel, LogSink } from './log-sink.js';
import type { LoggingOptions } from './logging.options.js';
import { NestLogSink } from './nest-log.sink.js';
import { Redaction } from './redaction.js';

export interface PinoLogDependencies {
  readonly options: LiveOptions<LoggingOptions>;
  readonly service: ServiceInfo;
  readonly contexts: CallContexts;
  readonly clock: Clock;
  /** Where the lines go. @default standard output */
  readonly destination?: { write(line: string): void };
}

/**
 * The application's own pino logger: every line carries service and instance, and inside a call its correlation and
 * trace id. Unlike nestjs-pino's root logger it is not shared with other applications of the process.
 */
export class PinoLog extends LogSink {
  /** For the adapter only. */
  readonly pino: Pino;
  readonly options: LiveOptions<LoggingOptions>;
  /** For the loggers that a host brings. */
  readonly hostLines: HostLines;
  readonly #clock: Clock;

  constructor({ options, service, contexts, clock, destination }: PinoLogDependencies) {
    super();
    this.options = options;
    this.#clock = clock;
    const { name, instance, version } = service;
    const redaction = new Redaction(options.current.redact);
    const writeError = (error: unknown): unknown =>
      error instanceof Error ? redaction.error(error, errorFields) : error;
    this.hostLines = new HostLines(service, contexts, redaction);
    this.pino = pino(
      {
        level: options.current.level,
        base: { service: name, instance, ...(version !== undefined && { version }) },
        mixin: () => callLogFields(contexts),
        mixinMergeStrategy: mergedFields,
        formatters: {
          level: (label) => ({ level: label }),
          log: (fields) => redaction.fields(fields),
        },
        // An error's own fields (a failed request with its headers, say) appear only when it is serialized.
        serializers: { err: writeError, error: writeError },
        hooks: {
          streamWrite: (line) => redaction.text(line),
          logMethod(args, method) {
            method.apply(this, withMessage(args) as typeof args);
          },
        },
      },
      destination as DestinationStream,
    );
    // pino's formatters don't see the bindings of children; these are written with each of their lines.
    const { child } = this.pino;
    this.pino.child = function (this: Pino, bindings: object, ...rest: unknown[]) {
      return child.apply(this, [redaction.fields(bindings), ...rest] as never);
    } as typeof child;
    options.onChange((next) => {
      this.pino.level = next.level;
    });
  }

  override write(level: LogLevel, fields: LogFields, message: string): void {
    this.pino[level](fields, message);
  }

  override flush(timeoutMs: number): Promise<void> {
    return this.flushPino(this.pino, timeoutMs);
  }

  /** Flushes any pino logger: {@link flush} for one that the host configured. */
  flushPino(logger: Pino, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(resolve, timeoutMs, { keepAlive: true });
      whenWritten(logger, () => {
        timer.cancel();
        resolve();
      });
    });
  }
}

/**
 * Calls back when the logger's stream has nothing left. sonic-boom, which pino writes to standard output with, calls back
 * from `flush` at once, and its `flushSync` leaves out the chunk that is on its way and blocks for ever when nobody reads
 * the pipe; but it tells when it has drained, and an empty write makes it tell.
 */
function whenWritten(logger: Pino, done: () => void): void {
  const stream = (logger as unknown as Record<symbol, unknown>)[symbols.streamSym];
  if (!isSonicBoom(stream)) return logger.flush(done);
  stream.once('drain', done);
  stream.write('');
}

interface SonicBoom {
  readonly minLength: number;
  once(event: 'drain', listener: () => void): void;
  write(text: string): void;
}

function isSonicBoom(stream: unknown): stream is SonicBoom {
  return typeof stream === 'object' && stream !== null && 'minLength' in stream && 'once' in stream;
}

type Imports = NonNullable<DynamicModule['imports']>;

const HOST_PARAMS = Symbol('nestjs-mesh: parameters of the LoggerModule that the host imports');

/** Asks for nestjs-pino's parameters from where only the host's own LoggerModule, which is global, can answer. */
@Module({
  providers: [
    {
      provide: HOST_PARAMS,
      inject: [{ token: PARAMS_PROVIDER_TOKEN, optional: true }],
      useFactory: (params?: Params) => params ?? null,
    },
  ],
  exports: [HOST_PARAMS],
})
class HostLoggerModule {}

@Module({})
class LogSinkModule {}

@Module({})
class MeshLoggerModule {
  constructor(
    @Inject(PinoNestLogger) logger: PinoNestLogger,
    @Inject(PinoLog) log: PinoLog,
    @Inject(HOST_PARAMS) host: Params | null,
  ) {
    if (!host && log.options.current.adoptNestLogger) adoptNestLogger(logger);
  }
}

/** A mesh error carries the response that it answers with, which says once more what its own fields say. */
function errorFields(error: Error): Record<string, unknown> {
  const fields = stdSerializers.err(error) as unknown as Record<string, unknown>;
  if (!isMeshError(error)) return fields;
  const { response: _response, options: _options, ...own } = fields;
  return own;
}

function mergedFields(fields: object, mixin: object): object {
  try {
    return Object.assign(mixin, fields);
  } catch {
    // A getter of the user's threw; a line must never fail the code that writes it.
    return { ...mixin, unreadable: true };
  }
}

/**
 * What was logged, with a message that is text: anything may be thrown, and Nest logs it. A `null` arrives from
 * nestjs-pino as an object that holds no more than the context.
 */
function withMessage(args: readonly unknown[]): readonly unknown[] {
  const [first, message] = args;
  if (typeof first === 'string' || typeof message === 'string') return args;
  if (typeof first !== 'object' || first === null) return [inspect(first), ...args.slice(1)];
  if (typeof message === 'object' && message !== null) return args;
  if (args.length > 1 && message !== undefined) return [first, inspect(message), ...args.slice(2)];
  return saysNothing(first) ? [first, args.length > 1 ? 'undefined' : 'null, or an object without fields'] : args;
}

function saysNothing(fields: object): boolean {
  return !(fields instanceof Error) && Object.keys(fields).every((name) => name === 'context');
}

/** `own`: our pino logger; `existing`: the logger that the application gave to Nest; `false`: the mesh writes no lines. */
export type LoggingMode = 'own' | 'existing' | false;

/**
 * The `LogSink` of the mesh's own lines, and in the mode `own` nestjs-pino over the application's {@link PinoLog}: `Logger`, `PinoLogger` and `@InjectPinoLogger` work everywhere.
 * There is no middleware: the call context comes from the request hook.
 *
 * When the host imports nestjs-pino's `LoggerModule` itself, its parameters win and all of this logs through its logger.
 * @param imports modules that export `PinoLog`, unless it is global.
 */
export function meshLoggerModule(imports: Imports = [], mode: LoggingMode = 'own'): DynamicModule {
  if (mode === false) return sinkModule(imports, { provide: LogSink, useClass: SilentSink });
  if (mode === 'existing')
    return sinkModule(imports, { provide: LogSink, inject: [PinoLog], useFactory: existingSink });
  const module = LoggerModule.forRootAsync({
    imports: [HostLoggerModule, ...imports],
    inject: [HOST_PARAMS, PinoLog],
    useFactory: (host: Params | null, log: PinoLog): Params =>
      host ?? { pinoHttp: { logger: log.pino, autoLogging: false }, forRoutes: [] },
  });
  const sink = { provide: LogSink, inject: [PinoLog, PinoLogger, HOST_PARAMS], useFactory: chooseSink };
  const pinoLogger = {
    provide: PinoLogger,
    scope: Scope.TRANSIENT,
    inject: [PARAMS_PROVIDER_TOKEN, PinoLog, HOST_PARAMS],
    useFactory: (params: Params, log: PinoLog, host: Params | null) =>
      host ? new PinoLogger(params) : new AppPinoLogger(params, log.pino),
  };
  return {
    ...module,
    // Not LoggerModule itself: it would mount the host's middleware a second time.
    module: MeshLoggerModule,
    global: true,
    providers: [...(module.providers ?? []).filter((provider) => provider !== PinoLogger), pinoLogger, sink],
    // The parameters stay inside, or HostLoggerModule would take them for the host's.
    exports: [...(module.exports ?? []).filter((exported) => !isParams(exported)), LogSink],
  };
}

/**
 * nestjs-pino's logger over the application's own root. nestjs-pino keeps one root a process, the first application's;
 * inside a context that somebody opened (`runInContext`, the host's middleware) the context's logger is used.
 */
class AppPinoLogger extends PinoLogger {
  readonly #own: Pino;

  constructor(params: Params, own: Pino) {
    super(params);
    this.#own = own;
  }

  override get logger(): Pino {
    const current = super.logger;
    return current === PinoLogger.root ? this.#own : current;
  }
}

/** The mesh's lines through the logger that the host configured, with the fields that ours has by itself. */
class HostPinoSink extends LogSink {
  readonly #log: PinoLog;
  readonly #host: PinoLogger;

  constructor(log: PinoLog, host: PinoLogger) {
    super();
    this.#log = log;
    this.#host = host;
  }

  override write(level: LogLevel, fields: LogFields, message: string): void {
    const { hostLines } = this.#log;
    this.#host[level](hostLines.fields(fields), hostLines.text(message));
  }

  override flush(timeoutMs: number): Promise<void> {
    return this.#log.flushPino(this.#host.logger, timeoutMs);
  }
}

class SilentSink extends LogSink {
  override write(): void {}
  override async flush(): Promise<void> {}
}

function existingSink({ hostLines }: PinoLog): LogSink {
  return new NestLogSink(hostLines);
}

function sinkModule(imports: Imports, sink: Provider): DynamicModule {
  return { module: LogSinkModule, global: true, imports, providers: [sink], exports: [LogSink] };
}

function chooseSink(log: PinoLog, pinoLogger: PinoLogger, host: Params | null): LogSink {
  return host ? new HostPinoSink(log, pinoLogger) : log;
}

/** Takes the place of Nest's console logger, and of an earlier application's logger; one that the host chose stays. */
function adoptNestLogger(logger: PinoNestLogger): void {
  const { staticInstanceRef: current } = NestLogger as unknown as { readonly staticInstanceRef: object | undefined };
  if (current?.constructor !== ConsoleLogger && !(current instanceof PinoNestLogger)) return;
  NestLogger.overrideLogger(logger);
  // `bufferLogs` keeps lines back until somebody chooses a logger, which has just happened.
  NestLogger.flush();
}

function isParams(exported: unknown): boolean {
  return (exported as { readonly provide?: unknown }).provide === PARAMS_PROVIDER_TOKEN;
}
