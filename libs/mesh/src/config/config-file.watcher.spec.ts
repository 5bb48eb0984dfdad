import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { SystemClock } from '../core/clock.js';
import { MeshEvents, type MeshEventMap } from '../core/mesh.events.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { ConfigFileWatcher, type FolderWatch } from './config-file.watcher.js';
import { loadConfig } from './config.loader.js';

const schema = z.strictObject({
  service: z.strictObject({ name: z.string().default('orders') }).prefault({}),
  cache: z
    .strictObject({ ttlMs: z.int().min(1).default(30) })
    .prefault({})
    .meta({ update: 'live' }),
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mesh-watch-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const ttl = (ttlMs: number) => JSON.stringify({ cache: { ttlMs } });

describe('ConfigFileWatcher, told by the operating system', () => {
  async function watchReal(path: string) {
    const clock = new SystemClock();
    const events = new MeshEvents();
    const store = await loadConfig({ schema, value: {}, env: { MESH_CONFIG_FILE: path }, clock, events });
    const watcher = new ConfigFileWatcher(store, clock);
    const next = <N extends 'config.changed' | 'config.rejected'>(name: N): Promise<MeshEventMap[N]> =>
      new Promise((resolve) => {
        const stop = events.on(name, (event) => {
          stop();
          resolve(event);
        });
      });
    watcher.start();
    return { store, watcher, next };
  }

  it('applies a file that is written over, and goes on after a bad version', async () => {
    const path = join(folder, 'mesh.json');
    await writeFile(path, ttl(1));
    const { store, watcher, next } = await watchReal(path);

    let changed: Promise<unknown> = next('config.changed');
    await writeFile(path, ttl(2));
    expect(await changed).toMatchObject({ source: `file ${path}`, changes: [{ path: 'cache.ttlMs', from: 1, to: 2 }] });

    const rejected = next('config.rejected');
    await writeFile(path, ttl(0));
    expect((await rejected).reason).toContain('must be at least 1, received 0');
    expect(store.snapshot.cache.ttlMs).toBe(2);

    changed = next('config.changed');
    await writeFile(path, ttl(3));
    await changed;
    expect(store.snapshot.cache.ttlMs).toBe(3);
    watcher.stop();
  });

  it('applies a file that another is renamed over', async () => {
    const path = join(folder, 'mesh.json');
    await writeFile(path, ttl(1));
    const { store, watcher, next } = await watchReal(path);
    const changed = next('config.changed');
    await writeFile(join(folder, 'mesh.json.new'), ttl(2));
    await rename(join(folder, 'mesh.json.new'), path);
    await changed;
    expect(store.snapshot.cache.ttlMs).toBe(2);
    watcher.stop();
  });

  it('follows the swapped links of a Kubernetes ConfigMap, twice', async () => {
    const publish = async (version: string, text: string): Promise<void> => {
      await mkdir(join(folder, version));
      await writeFile(join(folder, version, 'mesh.json'), text);
      await symlink(version, join(folder, '..data_tmp'));
      await rename(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    await publish('..2026_01', ttl(1));
    const path = join(folder, 'mesh.json');
    await symlink(join('..data', 'mesh.json'), path);
    const { store, watcher, next } = await watchReal(path);
    for (const ttlMs of [2, 3]) {
      const changed = next('config.changed');
      await publish(`..2026_0${ttlMs}`, ttl(ttlMs));
      await rm(join(folder, `..2026_0${ttlMs - 1}`), { recursive: true });
      await changed;
      expect(store.snapshot.cache.ttlMs).toBe(ttlMs);
    }
    watcher.stop();
  });
});

describe('ConfigFileWatcher, by the clock', () => {
  async function watchVirtual() {
    const path = join(folder, 'mesh.json');
    await writeFile(path, ttl(1));
    const clock = new VirtualClock();
    const events = new MeshEvents();
    const told: string[] = [];
    events.onAny((name) => void told.push(name));
    const store = await loadConfig({ schema, value: {}, env: { MESH_CONFIG_FILE: path }, clock, events });
    let onEvent = (): void => undefined;
    let isWatching = false;
    const watchFolder: FolderWatch = (_folder, listener) => {
      [onEvent, isWatching] = [listener, true];
      return () => void (isWatching = false);
    };
    const watcher = new ConfigFileWatcher(store, clock, watchFolder);
    const pass = async (ms: number): Promise<void> => {
      await clock.advance(ms);
      await watcher.idle();
    };
    return { path, store, clock, told, watcher, pass, event: () => onEvent(), isWatching: () => isWatching };
  }

  it('applies what changed between loading and watching', async () => {
    const { path, store, watcher, pass } = await watchVirtual();
    await writeFile(path, ttl(2));
    watcher.start();
    await pass(100);
    expect(store.snapshot.cache.ttlMs).toBe(2);
    watcher.stop();
  });

  it('looks every ten seconds where nothing is announced', async () => {
    const { path, store, watcher, pass } = await watchVirtual();
    watcher.start();
    await pass(100);
    await writeFile(path, ttl(2));
    await pass(9_899);
    expect(store.snapshot.cache.ttlMs).toBe(1);
    await pass(1);
    expect(store.snapshot.cache.ttlMs).toBe(2);
    watcher.stop();
  });

  it('tells once that the file is gone, and takes it when it is back', async () => {
    const { path, store, told, watcher, pass } = await watchVirtual();
    watcher.start();
    await pass(100);
    await rm(path);
    for (let i = 0; i < 3; i++) await pass(10_000);
    expect([told, store.snapshot.cache.ttlMs]).toEqual([['config.rejected'], 1]);
    await writeFile(path, ttl(2));
    await pass(10_000);
    expect(store.snapshot.cache.ttlMs).toBe(2);
    watcher.stop();
  });

  it('refuses a file that needs a restart and keeps the last good one', async () => {
    const { path, store, told, watcher, pass, event } = await watchVirtual();
    watcher.start();
    await pass(100);
    await writeFile(path, '{"service":{"name":"payments"},"cache":{"ttlMs":2}}');
    event();
    await pass(100);
    expect([told, store.snapshot.service.name, store.snapshot.cache.ttlMs]).toEqual([['config.rejected'], 'orders', 1]);
    watcher.stop();
  });

  it('leaves no timer and no watch behind', async () => {
    const { clock, watcher, isWatching, event } = await watchVirtual();
    watcher.start();
    watcher.start();
    event();
    watcher.stop();
    expect([clock.pendingTimers, isWatching()]).toEqual([0, false]);
  });

  it('does nothing without a file', async () => {
    const clock = new VirtualClock();
    const store = await loadConfig({ schema, value: {}, env: {}, clock });
    new ConfigFileWatcher(store, clock).start();
    expect(clock.pendingTimers).toBe(0);
    await expect(store.reloadFile()).rejects.toThrow('MESH_CONFIG_FILE: is required');
  });
});
