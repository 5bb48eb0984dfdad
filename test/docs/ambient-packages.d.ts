// What the recipes use of packages that this repository does not install, as their own declarations have it.

declare module '@prisma/client' {
  export class PrismaClient {
    readonly order: {
      findUnique(query: { where: { id: string } }): Promise<{ id: string } | null>;
      create(query: { data: { id: string } }): Promise<{ id: string }>;
    };
    $queryRaw(query: TemplateStringsArray, ...values: readonly unknown[]): Promise<unknown>;
  }
  export namespace Prisma {
    class PrismaClientKnownRequestError extends Error {
      readonly code: string;
    }
  }
}

declare module 'typeorm' {
  export class QueryFailedError<T extends Error = Error & Record<string, unknown>> extends Error {
    readonly driverError: T;
  }
  export class Repository<T> {
    findOneBy(where: Partial<T>): Promise<T | null>;
  }
}

declare module 'bullmq' {
  export class Worker<T = unknown> {
    constructor(
      queue: string,
      processor: (job: { readonly data: T }) => Promise<unknown>,
      options: { connection: { host: string }; concurrency?: number },
    );
    waitUntilReady(): Promise<unknown>;
    pause(doNotWaitActive?: boolean): Promise<void>;
    close(force?: boolean): Promise<void>;
  }
}

declare module '@nestjs/graphql' {
  type TypeOf = () => new () => object;
  export function Resolver(type: TypeOf): ClassDecorator;
  export function Query(type: TypeOf, options?: { nullable?: boolean }): MethodDecorator;
  export function Args(name: string): ParameterDecorator;
}
