import type { FactoryProvider } from '@nestjs/common';

type Token<T = unknown> = abstract new (...args: never[]) => T;
type InstancesOf<D extends readonly Token[]> = { [K in keyof D]: D[K] extends Token<infer T> ? T : never };

/** A factory provider whose parameters have the types of what it injects. */
export function provide<T, const D extends readonly Token[]>(
  token: Token<T>,
  inject: D,
  useFactory: (...dependencies: InstancesOf<D>) => T | Promise<T>,
): FactoryProvider<T> {
  return { provide: token, inject: [...inject], useFactory };
}

/** Finds a part of the application by its token. */
export type PartLookup = <T>(token: Token<T>) => T;
