import type { Abstract, DynamicModule, FactoryProvider, Provider, Type } from '@nestjs/common';
import { MessageBroker } from './core/broker.port.js';
import { CacheClient } from './core/cache.port.js';
import type { MeshComponent } from './core/component.port.js';
import { MeshConfigError } from './core/mesh.errors.js';
import { MetricsClient } from './core/metrics.port.js';
import type { RawRequest } from './core/raw-route.js';
import { MESH_COMPONENTS } from './lifecycle/component.explorer.js';
import type { LoggingMode } from './logging/pino.adapter.js';
import type { OpsGuard } from './ops/ops.access.js';

/** What takes the place of a part, in Nest's own words. */
export type Replacement<T> =
  | { readonly useClass: Type<T> }
  | { readonly useExisting: Type<T> | Abstract<T> | string | symbol }
  | { readonly useValue: T }
  | {
      // oxlint-disable-next-line typescript/no-unsafe-function-type -- any function whose parameters Nest injects
      readonly useFactory: (...dependencies: never[]) => T | Promise<T>;
      readonly inject?: FactoryProvider['inject'];
    };

/** The parts that an application may replace. Each keeps its place in the order of start and stop. */
export interface ReplaceableParts {
  readonly metrics: MetricsClient;
  readonly broker: MessageBroker;
  readonly cache: CacheClient;
}

/** What Nest needs before any option is known: the second argument of `forRoot` and `forRootAsync`. */
export interface MeshExtras {
  /** Whether every module sees the mesh without importing it. @default true */
  readonly isGlobal?: boolean;
  /** Modules that export what replacements inject. */
  readonly imports?: NonNullable<DynamicModule['imports']>;
  readonly components?: { readonly [K in keyof ReplaceableParts]?: Replacement<ReplaceableParts[K]> };
  /** Components of the application's own, beside those under `@MeshComponent` and the providers of `MESH_COMPONENTS`. */
  readonly additionalComponents?: readonly Replacement<MeshComponent>[];
  /**
   * `own`: a pino logger of this application, through nestjs-pino; a LoggerModule that the host imports itself wins.
   * `existing`: the logger that the application gave to Nest. `false`: the mesh writes no lines. @default 'own'
   */
  readonly logging?: LoggingMode;
  /** Whether `CACHE_MANAGER` is the mesh's cache; `false` for a host with a CacheModule of its own. @default true */
  readonly cacheManager?: boolean;
  /** Whether the application's global guards, pipes, interceptors and filters apply to messages too. @default true */
  readonly inheritGlobals?: boolean;
  /** Who sees more of a probe than its status; wins over `health.details`. */
  readonly healthDetails?: (request: RawRequest) => boolean;
  /** Who may use the operators' endpoints; takes the place of the loopback rule and of `ops.tokens`. */
  readonly opsGuard?: OpsGuard;
  /** Whether the mesh renders its own errors (`Retry-After`, wire form). The user's filters win in any case. @default true */
  readonly errorFilter?: boolean;
}

/** The providers of {@link MeshExtras.additionalComponents}, each constructed by Nest with what it injects. */
export function additionalProviders({ additionalComponents = [] }: MeshExtras): Provider[] {
  const tokens = additionalComponents.map((_, index) => Symbol(`nestjs-mesh: additionalComponents[${index}]`));
  return [
    ...additionalComponents.map((component, index) => ({ provide: tokens[index]!, ...component }) as Provider),
    { provide: MESH_COMPONENTS, inject: tokens, useFactory: (...components: MeshComponent[]) => components },
  ];
}

/** Injection token of the {@link PartHolder}. */
export const PART_HOLDER = Symbol('nestjs-mesh part holder');

/** Gives each part the form in which everybody gets it. */
export interface PartHolder {
  hold<K extends keyof ReplaceableParts>(name: K, part: ReplaceableParts[K]): ReplaceableParts[K];
}

interface Port {
  readonly token: Abstract<unknown>;
  readonly methods: readonly string[];
}

// Abstract methods do not exist at run time: these lists stand for them.
const ports: { readonly [K in keyof ReplaceableParts]: Port } = {
  metrics: {
    token: MetricsClient,
    methods: ['counter', 'gauge', 'histogram', 'onCollect', 'expose'] satisfies (keyof MetricsClient)[],
  },
  broker: {
    token: MessageBroker,
    methods: [
      'request',
      'publish',
      'subscribe',
      'serve',
      'waitFor',
      'deadLetters',
      'drain',
    ] satisfies (keyof MessageBroker)[],
  },
  cache: {
    token: CacheClient,
    methods: [
      'getOrSet',
      'get',
      'entry',
      'set',
      'getMany',
      'setMany',
      'expire',
      'delete',
      'deleteMany',
      'deleteByTag',
      'clear',
      'namespace',
      'stats',
    ] satisfies (keyof CacheClient)[],
  },
};

/** The providers of the replaceable parts: the application's own where there is one, else the default. */
export function partProviders(
  replacements: NonNullable<MeshExtras['components']>,
  defaults: { readonly [K in keyof ReplaceableParts]: FactoryProvider },
): Provider[] {
  const known = Object.keys(ports);
  const unknown = Object.keys(replacements).find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new MeshConfigError(
      `components.${unknown} is not a part that can be replaced; these are: ${known.join(', ')}.`,
    );
  return (Object.keys(ports) as (keyof ReplaceableParts)[]).flatMap((name) => {
    const raw = Symbol(`nestjs-mesh: components.${name}`);
    return [
      { ...(replacements[name] ?? defaults[name]), provide: raw } as Provider,
      {
        provide: ports[name].token,
        inject: [raw, PART_HOLDER],
        // Checked before anybody gets it: Nest constructs what injects it as soon as it is there.
        useFactory: (part: never, holder: PartHolder) => holder.hold(name, assertPart(name, part)),
      },
    ];
  });
}

/**
 * The part itself.
 * @throws {MeshConfigError} naming part, class and methods, when it is not what its port says.
 */
export function assertPart<T>(name: keyof ReplaceableParts, part: T): T {
  const { token, methods } = ports[name];
  const missing = methods.filter(
    (method) => typeof (part as Record<string, unknown> | undefined)?.[method] !== 'function',
  );
  if (missing.length === 0) return part;
  const className = (part as object | undefined)?.constructor.name ?? String(part);
  throw new MeshConfigError(
    `components.${name}: ${className} can't replace ${token.name}, it lacks ${missing.map((method) => `${method}()`).join(', ')}.`,
  );
}
