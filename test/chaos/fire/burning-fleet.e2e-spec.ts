import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { canRun, whyNot } from '../fleet.servers.js';
import { BurningFleet } from './burning-fleet.js';

describe.skipIf(!canRun)(`the fleet of the fire${whyNot}`, () => {
  it('leaves no process behind when an instance does not start', { timeout: 90_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mesh-fire-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const environment = { MESH_BROKER__TRANSPORT: 'no-such-transport' };
    await expect(BurningFleet.start(folder, { environment })).rejects.toThrow(/ended while it started/);
    const children = spawnSync('ps', ['-o', 'comm=', '--ppid', String(process.pid)], { encoding: 'utf8' }).stdout;
    expect(children).not.toMatch(/nats-server|redis-server|node|MainThread/);
  });
});
