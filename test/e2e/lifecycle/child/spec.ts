/** What a child application is and does; handed over as JSON in its first argument. */
export interface ChildSpec {
  /** `two`: one on Express and one on Fastify, in one process. */
  readonly kind: 'express' | 'fastify' | 'context' | 'tcp' | 'two';
  /** Where the start takes long, and for how long. */
  readonly slow?: { readonly where: 'component' | 'onModuleInit' | 'onApplicationBootstrap'; readonly ms: number };
  /** Where the shutdown, or the start, hangs for ever. */
  readonly hang?: 'component' | 'onModuleDestroy' | 'onModuleInit';
  readonly lifecycle?: object;
  /** The file that a pino transport, in a worker thread of the application's own LoggerModule, writes the log to. */
  readonly workerLog?: string;
  /** Whether somebody else listens to SIGTERM as well, and does nothing about it. */
  readonly otherListener?: boolean;
}
