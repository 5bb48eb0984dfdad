import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = process.cwd();
let workspace: string;

/** Lints one file that consists of one import, at the given place of a copy of the tree. */
async function lint(file: string, specifier: string): Promise<string> {
  const path = join(workspace, 'libs/mesh/src', file);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `import { a } from '${specifier}';\nexport const b = a;\n`);
  try {
    await run(join(root, 'node_modules/.bin/oxlint'), [path], { cwd: workspace });
    return 'accepted';
  } catch (error) {
    return (error as { stdout: string }).stdout;
  } finally {
    await rm(path);
  }
}

describe('the rooms', () => {
  beforeAll(async () => {
    workspace = await mkdtemp(join(tmpdir(), 'mesh-boundaries-'));
    await symlink(join(root, 'node_modules'), join(workspace, 'node_modules'));
    // Overrides match paths relative to the configuration file.
    await copyFile(join(root, 'oxlint.config.ts'), join(workspace, 'oxlint.config.ts'));
  });
  afterAll(() => rm(workspace, { recursive: true }));

  it.each([
    ['core/probe.ts', '../cache/mesh-cache.js', 'The room "core" may import only from: core.'],
    ['core/probe.ts', '@nestjs/core', 'core stands on node and @nestjs/common alone.'],
    ['lifecycle/probe.ts', '../config/config.store.js', 'The room "lifecycle" may import only from: lifecycle, core.'],
    ['cache/probe.ts', '../resilience/circuit-breaker.manager.js', 'may import only from: cache, core, config.'],
    ['health/adapters/probe.ts', '../../broker/in-process.broker.js', 'may import only from: health, core, config.'],
    ['metrics/probe.ts', '../testing/virtual-clock.js', 'may import only from: metrics, core, config.'],
    ['broker/probe.ts', '../index.js', 'Import the file, not a barrel or the composition root.'],
    ['resilience/probe.ts', 'opossum', "Only this room's *.adapter.ts may import opossum."],
    ['testing/probe.ts', '../cache/mesh-cache.js', 'The test kit may import only from'],
    ['testing/kit/probe.ts', '../../mesh.parts.js', 'Import what index.js exports.'],
    ['testing/kit/probe.ts', 'vitest', 'The test kit may not import vitest.'],
    ['broker/nats/probe.ts', 'rabbitmq-client', "Only this room's *.adapter.ts may import rabbitmq-client."],
  ])('refuses %s importing %s', async (file, specifier, reason) => {
    expect(await lint(file, specifier)).toContain(reason);
  });

  it.each([
    ['cache/probe.ts', '../core/clock.js'],
    ['testing/kit/probe.ts', '../../index.js'],
    ['cache/probe.ts', '../config/config.store.js'],
    ['resilience/opossum.adapter.ts', 'opossum'],
    ['broker/rabbitmq/probe.ts', 'rabbitmq-client'],
    ['broker/probe.ts', '@nestjs/microservices'],
  ])('lets %s import %s', async (file, specifier) => {
    expect(await lint(file, specifier)).toBe('accepted');
  });
});
