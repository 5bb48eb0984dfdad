import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { snippetsOf } from '../docs/snippets.js';
import { FreshApp, type Host, optionalPeers, pack, type RunningApp, temporaryFolder } from './fresh-app.js';

const full = process.env['MESH_FULL'] === '1';

// Both module systems and both platforms, in all four pairs with MESH_FULL=1.
const hosts: Host[] = [
  { format: 'esm', platform: 'express' },
  { format: 'cjs', platform: 'fastify' },
  ...(full
    ? ([
        { format: 'esm', platform: 'fastify' },
        { format: 'cjs', platform: 'express' },
      ] as const)
    : []),
];

const quickStart = ['src/app.module.ts', 'src/main.ts'];
const folder = temporaryFolder();
let tarball: string;

beforeAll(async () => {
  tarball = await pack(folder);
}, 60_000);

afterAll(() => rm(folder, { recursive: true, force: true }), 60_000);

describe.each(hosts)('the package in a fresh $format application on $platform', (host) => {
  let app: FreshApp;
  let compiled: readonly string[];
  let running: RunningApp | undefined;

  beforeAll(async () => {
    app = await FreshApp.make(folder, tarball, host);
    // The quick start as it stands there; Fastify's main.ts is the guide's.
    const page = host.platform === 'fastify' ? 'docs/getting-started.md' : 'README.md';
    for (const { file, code } of snippetsOf(page).filter((snippet) => quickStart.includes(snippet.file ?? '')))
      app.write(file!, code);
    app.write(
      'src/entry-points.ts',
      "export * as mesh from 'nestjs-mesh';\nexport * as kit from 'nestjs-mesh/testing';\n",
    );
    compiled = await app.compile();
    running = await app.start('dist/main.js');
  }, 300_000);

  afterAll(async () => {
    if (running?.child.exitCode === null) await running.stop();
  });

  it('answers with the fallback, stays ready, shows the open circuit and counts its calls', async () => {
    for (let call = 0; call < 25; call++)
      expect(await (await fetch(`${running!.url}/rates`)).json()).toEqual({ USD: 1.08 });

    const ready = await fetch(`${running!.url}/health/ready`);
    expect([ready.status, ((await ready.json()) as { status: string }).status]).toEqual([200, 'ok']);
    const breakers = await fetch(`${running!.url}/mesh/breakers`);
    expect(await breakers.json()).toMatchObject({ breakers: [{ policy: 'rates', state: 'open' }] });
    expect(await (await fetch(`${running!.url}/metrics`)).text()).toContain('mesh_calls_total{policy="rates"');
  });

  it('ends by the signal that it was sent', async () => {
    expect(await running!.stop()).toBe('SIGTERM');
  });

  it("has declarations that compile without skipLibCheck and without the optional peers' types", () => {
    expect(compiled.filter((line) => line.includes('error TS'))).toEqual([]);
    expect(compiled.filter((line) => line.endsWith('nestjs-mesh/dist/index.d.ts'))).toHaveLength(1);
    // The kit stands on Nest's own, which the scaffold has.
    const peers = optionalPeers.filter((name) => name !== '@nestjs/testing');
    expect(compiled.filter((line) => peers.some((name) => line.includes(`node_modules/${name}/`)))).toEqual([]);
  });
});
