import { type DynamicModule, Module, type ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModuleBuilder } from '@nestjs/testing';
import { Clock, ConfigInput, Ids, MeshConfigError, ServiceMesh } from '../../index.js';
import { MeshTestKit } from './mesh-test-kit.js';
import { TestBench } from './test-bench.js';
import type { MeshTestingOptions } from './test-input.js';

/** Nest's `Test`, for applications with a mesh. */
@Module({})
export class MeshTestingModule {
  /**
   * As `Test.createTestingModule`, with the whole application or a part of it beside a `MeshModule.forRoot(…)`: its mesh
   * runs on a virtual clock, over the in-process broker and on memory, whatever servers its options name, and a
   * {@link MeshTestKit} is among its providers.
   *
   * Nothing else is replaced: guards, handlers, policies, the start and the shutdown are the application's own.
   */
  static createTestingModule(metadata: ModuleMetadata, options: MeshTestingOptions = {}): TestingModuleBuilder {
    const bench = new TestBench(options);
    return Test.createTestingModule({ ...metadata, imports: [...(metadata.imports ?? []), withKit(bench)] })
      .overrideProvider(Clock)
      .useValue(bench.clock)
      .overrideProvider(Ids)
      .useValue(bench.ids)
      .overrideProvider(ConfigInput)
      .useValue(bench.input);
  }
}

function withKit(bench: TestBench): DynamicModule {
  return {
    module: MeshTestingModule,
    providers: [
      {
        provide: MeshTestKit,
        inject: [{ token: ServiceMesh, optional: true }],
        useFactory: (mesh?: ServiceMesh) => {
          if (mesh) return new MeshTestKit(mesh, bench);
          throw new MeshConfigError(
            'MeshTestingModule finds no mesh: import the application, or MeshModule.forRoot({ service: { name } }), and keep it global.',
          );
        },
      },
    ],
    exports: [MeshTestKit],
  };
}
