import { ConfigInput, type MeshOptions } from '../../index.js';
import type { TestStore } from './test-store.js';

type InProcessOptions = Extract<NonNullable<MeshOptions['broker']>, { transport?: 'in-process' | undefined }>;

export interface MeshTestingOptions {
  /** Changes what the application says of its mesh, for this test. */
  readonly configure?: (options: MeshOptions) => MeshOptions;
  /**
   * Stands for the `MESH_` variables, so that those of the machine change no test. `NODE_ENV` is the process's own.
   * @default {}
   */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether the mesh writes its log lines. @default false */
  readonly logs?: boolean;
}

/** What every transport understands; the rest speaks of a server. A new option is a compile error here. */
const SHARED: Readonly<Record<Exclude<keyof InProcessOptions, 'transport'>, true>> = {
  requestTimeoutMs: true,
  maxInFlight: true,
  subscribe: true,
  dedupe: true,
};

/** What the application says of its mesh, with everything taken out that is a server: broker, second tier, dedupe store. */
export class TestInput extends ConfigInput {
  /** Whether the application has a second tier, which is then the test's store. */
  hasSecondTier = false;

  constructor(
    private readonly settings: MeshTestingOptions,
    private readonly store: TestStore,
  ) {
    super();
  }

  override get environment(): Readonly<Record<string, string>> {
    return this.settings.env ?? {};
  }

  override options(given: unknown): unknown {
    // Whatever else it may be is for the validation to refuse.
    if (typeof given !== 'object' || given === null) return given;
    const { configure = (options) => options, logs = false } = this.settings;
    const { broker, cache, logging, ...rest } = configure(given as MeshOptions);
    return {
      ...rest,
      broker: inProcess(broker),
      cache: this.#inMemory(cache),
      logging: logs ? logging : { ...logging, level: 'silent' },
    };
  }

  #inMemory(cache: MeshOptions['cache']): MeshOptions['cache'] {
    this.hasSecondTier = cache?.redis !== undefined || cache?.store !== undefined;
    if (!this.hasSecondTier) return cache;
    const { redis: _, ...others } = cache!;
    return { ...others, store: this.store };
  }
}

function inProcess(broker: MeshOptions['broker']): InProcessOptions {
  const kept = Object.entries(broker ?? {}).filter(([key]) => Object.hasOwn(SHARED, key));
  const { dedupe, ...shared } = Object.fromEntries(kept) as Omit<InProcessOptions, 'transport'>;
  const { redisUrl: _, ...inMemory } = dedupe ?? {};
  return { transport: 'in-process', ...shared, ...(dedupe && { dedupe: inMemory }) };
}
