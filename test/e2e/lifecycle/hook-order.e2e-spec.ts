import {
  Injectable,
  Module,
  type INestApplicationContext,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
  type Type,
} from '@nestjs/common';
import { ModulesContainer, NestFactory } from '@nestjs/core';
import { Transport } from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { MeshEvents, MeshModule } from 'nestjs-mesh';
import { describe, expect, it } from 'vitest';

/** A root module over a feature module, both with every hook, and the mesh's phases among them. */
function application(journal: string[]): Type {
  abstract class Hooks implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown {
    abstract readonly of: string;
    onModuleInit(): void {
      journal.push(`${this.of} init`);
    }
    onApplicationBootstrap(): void {
      journal.push(`${this.of} bootstrap`);
    }
    onModuleDestroy(): void {
      journal.push(`${this.of} destroy`);
    }
    onApplicationShutdown(): void {
      journal.push(`${this.of} shutdown`);
    }
  }

  @Injectable()
  class Feature extends Hooks {
    readonly of = 'feature';
  }

  @Module({ providers: [Feature] })
  class FeatureModule {}

  @Module({
    imports: [MeshModule.forRoot({ service: { name: 'order' }, logging: { level: 'silent' } }), FeatureModule],
  })
  class AppModule extends Hooks {
    readonly of = 'root';

    constructor(events: MeshEvents) {
      super();
      events.on('lifecycle.phase', ({ phase }) => journal.push(`mesh ${phase}`));
      events.on('lifecycle.step', ({ component, step }) => {
        if (component === 'metrics') journal.push(`metrics ${step}`);
      });
    }
  }
  return AppModule;
}

type Boot = (module: Type) => Promise<INestApplicationContext>;

const kinds: Readonly<Record<string, Boot>> = {
  'an Express application': async (module) => {
    const app = await NestFactory.create(module, new ExpressAdapter(), { logger: false });
    return app.listen(0).then(() => app);
  },
  'a Fastify application': async (module) => {
    const app = await NestFactory.create(module, new FastifyAdapter(), { logger: false });
    return app.listen(0).then(() => app);
  },
  'a standalone context': (module) => NestFactory.createApplicationContext(module, { logger: false }),
  'a TCP microservice': async (module) => {
    const app = await NestFactory.createMicroservice(module, {
      transport: Transport.TCP,
      options: { port: 0 },
      logger: false,
    });
    return app.listen().then(() => app);
  },
  'a hybrid application': async (module) => {
    const app = await NestFactory.create(module, new ExpressAdapter(), { logger: false });
    app.connectMicroservice({ transport: Transport.TCP, options: { port: 0 } });
    await app.startAllMicroservices();
    return app.listen(0).then(() => app);
  },
  'a testing module': async (module) => (await Test.createTestingModule({ imports: [module] }).compile()).init(),
};

describe.each(Object.keys(kinds))('The order of hooks in %s', (kind) => {
  // Leans on Nest sorting its hooks by the public accessor Module.distance, once, at the first init hook.
  it('has the mesh at both ends: ready after every bootstrap hook, draining before every destroy hook', async () => {
    const journal: string[] = [];
    const app = await kinds[kind]!(application(journal));
    await app.close();
    expect(journal).toEqual([
      'metrics start',
      'feature init',
      'root init',
      'feature bootstrap',
      'root bootstrap',
      'mesh ready',
      'mesh draining',
      'root destroy',
      'feature destroy',
      'root shutdown',
      'feature shutdown',
      'mesh stopping',
      'metrics stop',
      'mesh stopped',
    ]);
  });
});

describe('A module that claims the same place at the end of the order', () => {
  it('fails the boot by name: readiness would come too early', async () => {
    @Module({})
    class RivalModule {
      constructor(modules: ModulesContainer) {
        for (const module of modules.values()) if (module.metatype === RivalModule) module.distance = -1;
      }
    }

    @Module({ imports: [application([]), RivalModule] })
    class AppModule {}
    const booting = NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
    await expect(booting).rejects.toThrow('but RivalModule claims the same place');
  });
});
