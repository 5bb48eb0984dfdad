import {
  EXCEPTION_FILTERS_METADATA,
  GUARDS_METADATA,
  INTERCEPTORS_METADATA,
  PIPES_METADATA,
} from '@nestjs/common/internal';
import type { ApplicationConfig } from '@nestjs/core';
import { PARAM_ARGS } from './pattern-metadata.js';

/** A handler as the broker calls it: `(payload, message)`. */
export type BoundHandler = (payload: unknown, message: unknown) => unknown;

export interface PlainHandler {
  readonly handler: BoundHandler;
  /** No parameter takes the message. */
  readonly payloadOnly: boolean;
}

type ControllerMethod = (...args: unknown[]) => unknown;
type Extract = (payload: unknown, message: unknown) => unknown;

interface ParamMetadata {
  readonly index: number;
  readonly data?: unknown;
  readonly pipes?: readonly unknown[];
  readonly schema?: unknown;
}

// The types that Nest's `@Payload()` and `@Ctx()` write into a parameter's key, `type:index`.
const PAYLOAD = '3';
const CONTEXT = '6';

/** Whether anything global stands around message handlers. The mesh's own filters are passed in: they change nothing here. */
export function hasGlobalEnhancers(config: ApplicationConfig, ownFilters: readonly object[]): boolean {
  const filters = config.getGlobalFilters().filter((filter) => !ownFilters.includes(filter));
  return [
    filters,
    config.getGlobalGuards(),
    config.getGlobalInterceptors(),
    config.getGlobalPipes(),
    config.getGlobalRequestFilters(),
    config.getGlobalRequestGuards(),
    config.getGlobalRequestInterceptors(),
    config.getGlobalRequestPipes(),
    config.getGlobalPreRequestHooks(),
  ].some((enhancers) => enhancers.length > 0);
}

/**
 * Binds a controller's method without Nest's pipeline, when nothing of the user would run in it: no guard, interceptor,
 * pipe or filter on class or method, and only `@Payload()` and `@Ctx()` without pipes as parameters. Such a call costs
 * a tenth of one through the pipeline. `undefined` when the method needs the pipeline.
 */
export function bindPlainHandler(instance: object, methodName: string): PlainHandler | undefined {
  const method = (instance as Record<string, ControllerMethod>)[methodName]!;
  const enhancers = [GUARDS_METADATA, INTERCEPTORS_METADATA, PIPES_METADATA, EXCEPTION_FILTERS_METADATA];
  const isEnhanced = enhancers.some(
    (key) => Reflect.hasMetadata(key, instance.constructor) || Reflect.hasMetadata(key, method),
  );
  if (isEnhanced) return undefined;

  const params = Reflect.getMetadata(PARAM_ARGS, instance.constructor, methodName) as
    Readonly<Record<string, ParamMetadata>> | undefined;
  if (!params) return { handler: (payload) => method.call(instance, payload), payloadOnly: true };

  const extracts: Extract[] = [];
  for (const [key, param] of Object.entries(params)) {
    const extract = extractOf(key, param);
    if (!extract) return undefined;
    extracts[param.index] = extract;
  }
  const handler: BoundHandler = (payload, message) => {
    const args: unknown[] = [];
    for (const extract of extracts) args.push(extract?.(payload, message));
    return method.apply(instance, args);
  };
  return { handler, payloadOnly: !Object.keys(params).some((key) => key.startsWith(`${CONTEXT}:`)) };
}

function extractOf(key: string, { data, pipes = [], schema }: ParamMetadata): Extract | undefined {
  if (pipes.length > 0 || schema !== undefined) return undefined;
  const [type] = key.split(':');
  if (type === CONTEXT) return (_payload, message) => message;
  if (type !== PAYLOAD) return undefined;
  if (!data) return (payload) => payload;
  return (payload) => (payload as Record<string, unknown> | null | undefined)?.[data as string];
}
