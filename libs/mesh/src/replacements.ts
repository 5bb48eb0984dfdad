import type { Abstract, DynamicModule, FactoryProvider, Provider, Type } from '@nestjs/common';
import { MessageBroker } from './core/broker.port.js';
import { CacheClient } from './core/cache.port.js';
import { MeshConfigError } from './core/mesh.errors.js';
import { MetricsClient } from './core/metrics.port.js';
import type { RawRequest } from './core/raw-route.js';

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
  /** Who sees more of a probe than its status; wins over `health.details`. */
  readonly healthDetails?: (request: RawRequest) => boolean;
  /** Whether the mesh renders its own errors (`Retry-After`, wire form). The user's filters win in any case. @default true */
  readonly errorFilter?: boolean;
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
    methods: ['request', 'publish', 'subscribe', 'drain'] satisfies (keyof MessageBroker)[],
  },
  cache: {
    token: CacheClient,
    methods: ['getOrSet', 'get', 'set', 'delete', 'clear', 'stats'] satisfies (keyof CacheClient)[],
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
  return (Object.keys(ports) as (keyof ReplaceableParts)[]).map((name) => {
    const replacement = replacements[name];
    return replacement ? ({ provide: ports[name].token, ...replacement } as Provider) : defaults[name];
  });
}

/** @throws {MeshConfigError} naming part, class and methods, when a part is not what its port says. */
export function assertParts(parts: ReplaceableParts): void {
  for (const [name, { token, methods }] of Object.entries(ports)) {
    const part = parts[name as keyof ReplaceableParts] as unknown as Record<string, unknown> | undefined;
    const missing = methods.filter((method) => typeof part?.[method] !== 'function');
    if (missing.length === 0) continue;
    const className = (part as object | undefined)?.constructor.name ?? String(part);
    throw new MeshConfigError(
      `components.${name}: ${className} can't replace ${token.name}, it lacks ${missing.map((method) => `${method}()`).join(', ')}.`,
    );
  }
}
