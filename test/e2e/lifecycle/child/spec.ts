/** What a child application is and does; handed over as JSON in its first argument. */
export interface ChildSpec {
  readonly kind: 'express' | 'fastify' | 'context' | 'tcp';
  /** Where the start takes long, and for how long. */
  readonly slow?: { readonly where: 'component' | 'onModuleInit' | 'onApplicationBootstrap'; readonly ms: number };
  /** Where the shutdown hangs for ever. */
  readonly hang?: 'component' | 'onModuleDestroy';
  readonly lifecycle?: object;
  readonly enableMeshShutdown?: boolean;
}
