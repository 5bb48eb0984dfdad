import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { isMeshError } from '../core/mesh.error.js';
import { MeshEvents, type MeshEventMap } from '../core/mesh.events.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { loadConfig } from './config.loader.js';
import type { ConfigParticipant } from './config.participant.js';

const schema = z.strictObject({
  service: z.strictObject({ name: z.string() }),
  resilience: z
    .strictObject({
      defaults: z.strictObject({ timeoutMs: z.int().min(1).default(3_000) }).prefault({}),
      policies: z.record(z.string(), z.strictObject({ timeoutMs: z.int().min(1).optional() })).default({}),
    })
    .prefault({})
    .meta({ update: 'live' }),
  cache: z
    .strictObject({
      ttlMs: z.int().min(1).default(30_000),
      redis: z
        .strictObject({ url: z.string(), password: z.string().optional().meta({ secret: true }) })
        .optional()
        .meta({ update: 'swap' }),
    })
    .prefault({})
    .meta({ update: 'live' }),
});

type Config = z.output<typeof schema>;

async function boot(value: object = {}, env: Record<string, string> = {}) {
  const clock = new VirtualClock();
  const events = new MeshEvents();
  const told: (readonly [name: string, event: MeshEventMap[keyof MeshEventMap]])[] = [];
  events.onAny((name, event) => void told.push([name, event]));
  const store = await loadConfig({ schema, value: { service: { name: 'orders' }, ...value }, env, clock, events });
  return { store, clock, told };
}

/** A component that writes down what it is asked, and fails where it is told to. */
function participant(
  name: string,
  log: string[],
  failAt?: 'prepare' | 'commit' | 'revert' | 'settle' | 'discard',
): ConfigParticipant<Config> {
  const step = (what: string): void => {
    log.push(`${name} ${what}`);
    if (what === failAt) throw new Error(`${name} can't ${what}`);
  };
  return {
    name,
    paths: ['cache.redis'],
    async prepare() {
      step('prepare');
      return {
        commit: () => step('commit'),
        revert: () => step('revert'),
        settle: async () => step('settle'),
        discard: async () => step('discard'),
      };
    },
  };
}

const ops = { source: 'ops' };
const redis = (url: string) => ({ cache: { redis: { url } } });

describe('update', () => {
  it('makes a new frozen snapshot and tells the sections that changed', async () => {
    const { store } = await boot();
    const before = store.snapshot;
    const heard: string[] = [];
    store.section('resilience').onChange((next, previous) => {
      heard.push(`resilience ${previous.defaults.timeoutMs} -> ${next.defaults.timeoutMs}`);
    });
    store.section('cache').onChange(() => void heard.push('cache'));

    const result = await store.update({ resilience: { defaults: { timeoutMs: 500 } } }, ops);

    expect(result).toEqual({
      outcome: 'applied',
      generation: 2,
      changes: [{ path: 'resilience.defaults.timeoutMs', from: 3_000, to: 500, update: 'live' }],
      leftovers: [],
    });
    expect(heard).toEqual(['resilience 3000 -> 500']);
    expect(before.resilience.defaults.timeoutMs).toBe(3_000);
    expect(store.snapshot.cache).toBe(before.cache);
    expect(store.snapshot.resilience.policies).toBe(before.resilience.policies);
    expect(Object.isFrozen(store.snapshot.resilience.defaults)).toBe(true);
  });

  it('shows no listener a part of the change', async () => {
    const { store } = await boot();
    const cache = store.section('cache');
    let seen: unknown;
    store.section('resilience').onChange(() => {
      seen = [cache.current.ttlMs, store.snapshot.cache.ttlMs, store.generation];
    });
    await store.update({ resilience: { defaults: { timeoutMs: 1 } }, cache: { ttlMs: 1 } }, ops);
    expect(seen).toEqual([1, 1, 2]);
  });

  it('adds a policy that did not exist', async () => {
    const { store } = await boot();
    const { changes } = await store.update({ resilience: { policies: { 'a.b': { timeoutMs: 5 } } } }, ops);
    expect(changes).toEqual([{ path: 'resilience.policies["a.b"].timeoutMs', from: undefined, to: 5, update: 'live' }]);
  });

  it('takes an override back with null', async () => {
    const { store } = await boot({ cache: { ttlMs: 7 } });
    await store.update({ cache: { ttlMs: 9 } }, ops);
    await store.update({ cache: { ttlMs: null } }, ops);
    expect(store.snapshot.cache.ttlMs).toBe(7);
    expect(store.explain('cache.ttlMs')).toMatchObject({ source: 'module options' });
  });

  it('asks every participant that it concerns about live options and dry runs too', async () => {
    const { store, told } = await boot();
    const asked: string[] = [];
    const picky = (name: string, path: string): ConfigParticipant<Config> => ({
      name,
      paths: [path],
      check: ({ next, changes }) => {
        asked.push(`${name} ${changes.length}`);
        if (next.cache.ttlMs > 50_000) throw new Error(`${next.cache.ttlMs} ms are too long for me`);
      },
    });
    store.join(picky('cache', 'cache'));
    store.join(picky('resilience', 'resilience'));

    const patch = { cache: { ttlMs: 60_000 } };
    const refusal = {
      code: 'MESH_CONFIG_REFUSED',
      message: "The update was refused: cache can't take it: 60000 ms are too long for me. Nothing has changed.",
    };
    await expect(store.update(patch, { ...ops, dryRun: true })).rejects.toMatchObject(refusal);
    await expect(store.update(patch, ops)).rejects.toMatchObject(refusal);

    expect(asked).toEqual(['cache 1', 'cache 1']);
    expect([store.generation, store.snapshot.cache.ttlMs]).toEqual([1, 30_000]);
    expect(told.map(([name]) => name)).toEqual(['config.rejected']);
  });

  it('needs somebody who prepares a swap, not only somebody who checks it', async () => {
    const { store } = await boot();
    store.join({ name: 'cache', paths: ['cache.redis'], check: () => undefined });
    await expect(store.update(redis('redis://a'), ops)).rejects.toMatchObject({ code: 'MESH_CONFIG_RESTART_REQUIRED' });
  });

  it('refuses an invalid value and changes nothing', async () => {
    const { store, told } = await boot();
    const before = store.snapshot;
    await expect(store.update({ cache: { ttlMs: 0 } }, ops)).rejects.toThrow(
      'cache.ttlMs: must be at least 1, received 0 (from runtime ops)',
    );
    expect(store.snapshot).toBe(before);
    expect(told).toMatchObject([['config.rejected', { generation: 1, source: 'ops', code: 'MESH_CONFIG_INVALID' }]]);
  });

  it('refuses as a whole what needs a restart, and lists it', async () => {
    const { store } = await boot();
    const update = store.update({ service: { name: 'payments' }, cache: { ttlMs: 5 } }, ops);
    await expect(update).rejects.toMatchObject({
      code: 'MESH_CONFIG_RESTART_REQUIRED',
      details: { paths: ['service.name'] },
    });
    expect(store.snapshot.cache.ttlMs).toBe(30_000);
  });

  it('refuses to swap what no component can swap', async () => {
    const { store } = await boot();
    await expect(store.update(redis('redis://a'), ops)).rejects.toMatchObject({
      code: 'MESH_CONFIG_RESTART_REQUIRED',
      details: { paths: ['cache.redis.url'] },
    });
  });

  it('refuses a stale generation', async () => {
    const { store } = await boot();
    await store.update({ cache: { ttlMs: 5 } }, { ...ops, expectedGeneration: 1 });
    const stale = store.update({ cache: { ttlMs: 6 } }, { ...ops, expectedGeneration: 1 });
    await expect(stale).rejects.toMatchObject({ code: 'MESH_CONFIG_STALE', details: { expected: 1, generation: 2 } });
    expect(store.snapshot.cache.ttlMs).toBe(5);
  });

  it('checks everything in a dry run and changes nothing', async () => {
    const { store, told } = await boot();
    const log: string[] = [];
    store.join(participant('cache', log));
    const dry = { ...ops, dryRun: true };
    expect(await store.update(redis('redis://a'), dry)).toMatchObject({ outcome: 'checked', generation: 1 });
    await expect(store.update({ cache: { ttlMs: 0 } }, dry)).rejects.toThrow('at least 1');
    expect([store.generation, log, told]).toEqual([1, [], []]);
  });

  it('keeps the generation when every value is that already', async () => {
    const { store, told } = await boot();
    expect(await store.update({ cache: { ttlMs: 30_000 } }, ops)).toMatchObject({
      outcome: 'unchanged',
      generation: 1,
    });
    expect(store.explain('cache.ttlMs').source).toBe('runtime ops');
    expect(told).toEqual([]);
  });

  it('takes the change back when a listener throws', async () => {
    const { store } = await boot();
    const heard: number[] = [];
    store.section('cache').onChange(({ ttlMs }) => void heard.push(ttlMs));
    store.section('cache').onChange(({ ttlMs }) => {
      if (ttlMs === 5) throw new Error('no timer for 5 ms');
    });
    await expect(store.update({ cache: { ttlMs: 5 } }, ops)).rejects.toMatchObject({ code: 'MESH_CONFIG_REFUSED' });
    expect(heard).toEqual([5, 30_000]);
    expect([store.snapshot.cache.ttlMs, store.section('cache').current.ttlMs, store.generation]).toEqual([
      30_000, 30_000, 1,
    ]);
  });

  it('masks secrets in events, history and explanations', async () => {
    const { store, told } = await boot();
    store.join(participant('cache', []));
    await store.update({ cache: { redis: { url: 'redis://u:hunter2@a', password: 'hunter2' } } }, ops);
    const shown = JSON.stringify([told, store.history, store.explainAll()]);
    expect(shown).toContain('redis://***@a');
    expect(shown).not.toContain('hunter2');
    expect(store.snapshot.cache.redis?.password).toBe('hunter2');
  });

  it('is refused once the store closes', async () => {
    const { store } = await boot();
    await store.close();
    await expect(store.update({ cache: { ttlMs: 5 } }, ops)).rejects.toMatchObject({ code: 'MESH_DRAINING' });
  });
});

describe('the caller', () => {
  it('changes nothing by changing its options or its patch afterwards', async () => {
    const value = { cache: { ttlMs: 7 }, resilience: { policies: { a: { timeoutMs: 5 } } } };
    const { store } = await boot(value);
    const patch = { resilience: { policies: { b: { timeoutMs: 6 } } } };
    await store.update(patch, ops);
    value.cache.ttlMs = value.resilience.policies.a.timeoutMs = patch.resilience.policies.b.timeoutMs = 99;
    const { changes } = await store.update({ resilience: { defaults: { timeoutMs: 8 } } }, ops);
    expect(changes.map(({ path }) => path)).toEqual(['resilience.defaults.timeoutMs']);
    expect([store.explain('cache.ttlMs').value, Object.isFrozen(value.cache)]).toEqual([7, false]);
  });
});

describe('a swap', () => {
  it('is prepared by all, committed by all and then settled, in the order of joining', async () => {
    const { store } = await boot();
    const log: string[] = [];
    store.join(participant('a', log));
    store.join(participant('b', log));
    await store.update(redis('redis://a'), ops);
    expect(log).toEqual(['a prepare', 'b prepare', 'a commit', 'b commit', 'a settle', 'b settle']);
  });

  it('reports a refused commit together with what could not be cleaned up', async () => {
    const { store } = await boot();
    store.join(participant('a', [], 'discard'));
    store.join(participant('b', [], 'commit'));
    await expect(store.update(redis('redis://a'), ops)).rejects.toThrow(
      "b failed to commit it: b can't commit; going back failed as well: a can't discard. Nothing has changed.",
    );
  });

  it('leaves alone the components that it does not concern', async () => {
    const { store } = await boot();
    const log: string[] = [];
    store.join(participant('a', log));
    await store.update({ cache: { ttlMs: 5 } }, ops);
    expect(log).toEqual([]);
  });

  it.each([
    ['prepare', ['a prepare', 'b prepare', 'a discard']],
    ['commit', ['a prepare', 'b prepare', 'a commit', 'b commit', 'b revert', 'a revert', 'b discard', 'a discard']],
  ] as const)('goes back in reverse order when a component fails to %s', async (phase, expected) => {
    const { store, told } = await boot();
    const before = store.snapshot;
    const log: string[] = [];
    store.join(participant('a', log));
    store.join(participant('b', log, phase));
    await expect(store.update(redis('redis://a'), ops)).rejects.toMatchObject({
      code: 'MESH_CONFIG_REFUSED',
      details: { culprit: 'b', phase },
    });
    expect(log).toEqual(expected);
    expect([store.snapshot, store.generation]).toEqual([before, 1]);
    expect(told.map(([name]) => name)).toEqual(['config.rejected']);
  });

  it('stands and says so when the old one can not be let go', async () => {
    const { store } = await boot();
    store.join(participant('a', [], 'settle'));
    const { outcome, leftovers } = await store.update(redis('redis://a'), ops);
    expect([outcome, leftovers]).toEqual(['applied', [new Error("a can't settle")]]);
  });

  it('is refused when preparing takes too long, and discards what comes too late', async () => {
    const { store, clock } = await boot();
    const log: string[] = [];
    const late = Promise.withResolvers<void>();
    store.join({
      name: 'slow',
      paths: ['cache'],
      timeoutMs: 200,
      async prepare({ signal }) {
        signal.addEventListener('abort', () => log.push('aborted'));
        await late.promise;
        return { commit: () => undefined, revert: () => undefined, discard: () => void log.push('discarded') };
      },
    });
    const update = store.update(redis('redis://a'), ops);
    const refused = expect(update).rejects.toThrow('slow failed to prepare it: no answer within 200 ms');
    await clock.advance(200);
    await refused;
    late.resolve();
    await clock.advance(0);
    expect(log).toEqual(['aborted', 'discarded']);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('the health watch', () => {
  async function bootWatched(failAt?: 'revert' | 'discard') {
    const booted = await boot();
    const log: string[] = [];
    let down: ((culprit: string, reason: string) => void) | undefined;
    booted.store.watchHealthWith((onDown) => {
      down = onDown;
      return () => (down = undefined);
    });
    booted.store.join(participant('a', log, failAt));
    return {
      ...booted,
      log,
      goDown: () => down?.('redis', 'connection refused'),
      isWatching: () => down !== undefined,
    };
  }

  it('lets an update stand when nothing goes down for five seconds', async () => {
    const { store, clock, log, isWatching } = await bootWatched();
    const update = store.update(redis('redis://a'), ops);
    await clock.advance(4_999);
    expect(log).toEqual(['a prepare', 'a commit']);
    await clock.advance(1);
    expect(await update).toMatchObject({ outcome: 'applied', generation: 2 });
    expect(log).toEqual(['a prepare', 'a commit', 'a settle']);
    expect([isWatching(), clock.pendingTimers]).toEqual([false, 0]);
  });

  it('rolls back when a component goes down, and names it', async () => {
    const { store, clock, log, told, goDown, isWatching } = await bootWatched();
    const before = store.snapshot;
    const heard: (string | undefined)[] = [];
    store.section('cache').onChange((next) => void heard.push(next.redis?.url));
    const update = store.update(redis('redis://a'), ops);
    const failed = expect(update).rejects.toMatchObject({
      code: 'MESH_CONFIG_ROLLED_BACK',
      details: { culprit: 'redis', reason: 'connection refused' },
    });
    await clock.advance(1_000);
    goDown();
    await failed;

    expect(store.snapshot).toBe(before);
    expect(heard).toEqual(['redis://a', undefined]);
    expect(log).toEqual(['a prepare', 'a commit', 'a revert', 'a discard']);
    expect(store.history.map(({ generation, source }) => `${generation} ${source}`)).toEqual([
      '3 roll-back of ops',
      '2 ops',
      '1 boot',
    ]);
    expect(told.map(([name]) => name)).toEqual(['config.changed', 'config.rolled-back']);
    expect([isWatching(), clock.pendingTimers]).toEqual([false, 0]);
  });

  it.each(['revert', 'discard'] as const)('puts the values back even when a component fails to %s', async (phase) => {
    const { store, clock, goDown } = await bootWatched(phase);
    const before = store.snapshot;
    const update = store.update(redis('redis://a'), ops);
    const failed = expect(update).rejects.toThrow(`Cleaning up failed as well: a can't ${phase}`);
    await clock.advance(1);
    goDown();
    await failed;
    expect(store.snapshot).toBe(before);
    await store.update({ cache: { ttlMs: 5 } }, { ...ops, healthWindowMs: 0 });
    expect(store.snapshot.cache.ttlMs).toBe(5);
  });

  it('rolls back at once, and stops watching, when something is down from the start', async () => {
    const { store, clock } = await boot();
    let watches = 0;
    store.watchHealthWith((onDown) => {
      watches++;
      onDown('redis', 'gone');
      return () => void watches--;
    });
    await expect(store.update({ cache: { ttlMs: 5 } }, ops)).rejects.toMatchObject({ code: 'MESH_CONFIG_ROLLED_BACK' });
    expect([store.snapshot.cache.ttlMs, watches, clock.pendingTimers]).toEqual([30_000, 0, 0]);
  });

  it('holds the next update until the window is over', async () => {
    const { store, clock } = await bootWatched();
    const first = store.update({ cache: { ttlMs: 5 } }, ops);
    const second = store.update({ cache: { ttlMs: 6 } }, { ...ops, healthWindowMs: 0 });
    await clock.advance(4_000);
    expect(store.snapshot.cache.ttlMs).toBe(5);
    await clock.advance(1_000);
    expect([(await first).generation, (await second).generation, store.snapshot.cache.ttlMs]).toEqual([2, 3, 6]);
  });

  it('ends in favour of the update when the store closes', async () => {
    const { store, clock, log } = await bootWatched();
    const update = store.update(redis('redis://a'), ops);
    await clock.advance(10);
    await store.close();
    expect((await update).outcome).toBe('applied');
    expect([log.at(-1), clock.pendingTimers]).toEqual(['a settle', 0]);
  });
});

describe('history', () => {
  it('keeps the latest twenty generations', async () => {
    const { store } = await boot();
    for (let ttlMs = 1; ttlMs <= 25; ttlMs++) await store.update({ cache: { ttlMs } }, ops);
    expect(store.history.map(({ generation }) => generation)).toEqual(Array.from({ length: 20 }, (_, i) => 26 - i));
    await expect(store.rollback(3, ops)).rejects.toMatchObject({ code: 'MESH_CONFIG_UNKNOWN_GENERATION' });
  });

  it('rolls back to a generation as a new one', async () => {
    const { store } = await boot();
    await store.update({ cache: { ttlMs: 5 } }, ops);
    await store.update({ cache: { ttlMs: 6 }, resilience: { defaults: { timeoutMs: 7 } } }, ops);
    const result = await store.rollback(2, ops);
    expect(result).toMatchObject({ outcome: 'applied', generation: 4 });
    expect(store.snapshot.cache.ttlMs).toBe(5);
    expect(store.history[0]).toMatchObject({ source: 'rollback to 2 by ops' });
    expect(store.explain('cache.ttlMs').source).toBe('runtime ops');
  });
});

describe('explain', () => {
  it('says value, source and all that it overrode, strongest first', async () => {
    const { store } = await boot({ cache: { ttlMs: 7 } }, { MESH_CACHE__TTL_MS: '8' });
    await store.replaceFile({ kind: 'file', name: 'mesh.json', tree: { cache: { ttlMs: 6 } } });
    await store.update({ cache: { ttlMs: 9 } }, ops);
    expect(store.explain('cache.ttlMs')).toEqual({
      path: 'cache.ttlMs',
      value: 9,
      source: 'runtime ops',
      update: 'live',
      overrode: [
        { source: 'environment MESH_CACHE__TTL_MS', value: 8 },
        { source: 'file mesh.json', value: 6 },
        { source: 'module options', value: 7 },
        { source: 'default', value: 30_000 },
      ],
    });
  });

  it('knows defaults, and options without a value', async () => {
    const { store } = await boot();
    expect(store.explain('resilience.defaults.timeoutMs')).toMatchObject({
      value: 3_000,
      source: 'default',
      overrode: [],
    });
    expect(store.explain('cache.redis')).toMatchObject({ value: undefined, source: 'default' });
  });

  it.each([
    ['cache.tlMs', 'did you mean "cache.ttlMs"?'],
    ['resilience.policies.none.timeoutMs', 'There is no option'],
    ['cache', 'is a section; ask for one of its options: ttlMs'],
    ['cache..', 'There is no option'],
  ])('refuses "%s"', async (path, message) => {
    const { store } = await boot();
    expect(() => store.explain(path)).toThrow(message);
    try {
      store.explain(path);
    } catch (error) {
      expect(isMeshError(error, 'MESH_CONFIG_INVALID')).toBe(true);
    }
  });

  it('lists every option that has a value', async () => {
    const { store } = await boot({ resilience: { policies: { 'a.b': { timeoutMs: 5 } } } });
    expect(store.explainAll().map(({ path, source }) => `${path} ${source}`)).toEqual([
      'service.name module options',
      'resilience.defaults.timeoutMs default',
      'resilience.policies["a.b"].timeoutMs module options',
      'cache.ttlMs default',
    ]);
  });
});

describe('jsonSchema', () => {
  it('describes what a file may hold, with the update class of each option, and requires nothing', async () => {
    const { store } = await boot();
    const json = store.jsonSchema();
    expect(json).toMatchObject({
      additionalProperties: false,
      properties: {
        cache: { update: 'live', properties: { ttlMs: { type: 'integer', minimum: 1, default: 30_000 } } },
      },
    });
    expect(JSON.stringify(json)).not.toContain('required');
  });
});
