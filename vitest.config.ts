import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string) => fileURLToPath(new URL(`./libs/mesh/src/${path}`, import.meta.url));

export default defineConfig({
  // Nest needs legacy decorators with emitted metadata; without this the files do not even parse.
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  resolve: {
    alias: { 'nestjs-mesh/testing': source('testing/index.ts'), 'nestjs-mesh': source('index.ts') },
  },
  test: {
    include: ['libs/**/*.spec.ts', 'apps/**/*.spec.ts', 'test/**/*.spec.ts', 'test/**/*.e2e-spec.ts'],
    setupFiles: ['./test/setup.ts'],
    typecheck: { enabled: false },
    dangerouslyIgnoreUnhandledErrors: false,
    testTimeout: 10_000,
    // Half of the time goes into waiting for servers that were killed or hang: vitest's default leaves one core idle.
    maxWorkers: 2,
  },
});
