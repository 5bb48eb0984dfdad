import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { VirtualClock } from '../testing/virtual-clock.js';
import { diff } from './config.diff.js';
import { loadConfig } from './config.loader.js';
import type { ConfigParticipant } from './config.participant.js';
import { formatPath, parsePath, type ConfigPath } from './config.path.js';
import type { ConfigStore } from './config.store.js';
import { isTree, merge } from './config.tree.js';

const timeoutMs = z.int().min(1);
const schema = z.strictObject({
  service: z.strictObject({ name: z.string() }),
  resilience: z
    .strictObject({
      defaults: z.strictObject({ timeoutMs: timeoutMs.default(3) }).prefault({}),
      policies: z
        .record(z.string(), z.strictObject({ timeoutMs: timeoutMs.optional(), codes: z.array(z.int()).default([]) }))
        .default({}),
    })
    .prefault({})
    .meta({ update: 'live' }),
  cache: z
    .union([
      z.literal(false),
      z.strictObject({ ttlMs: timeoutMs.default(30), url: z.string().default('memory').meta({ update: 'swap' }) }),
    ])
    .prefault({})
    .meta({ update: 'live' }),
});
type Config = z.output<typeof schema>;

const ms = fc.integer({ min: 1, max: 9 });
const names = fc.constantFrom('a', 'a.b', 'to-string', 'constructor', '5');

/** Some of these keys, each with a value of its own. */
function some(keys: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<object> {
  return fc.record(keys, { requiredKeys: [] });
}

/** What one source may say: valid, but for a `wild` value here and there. */
function source(wild?: fc.Arbitrary<unknown>): fc.Arbitrary<object> {
  const or = (value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
    wild ? fc.oneof({ arbitrary: value, weight: 12 }, { arbitrary: wild, weight: 1 }) : value;
  const policy = some({ timeoutMs: or(ms), codes: or(fc.array(ms, { maxLength: 2 })) });
  return some({
    resilience: some({ defaults: some({ timeoutMs: or(ms) }), policies: fc.dictionary(names, or(policy)) }),
    cache: fc.oneof(or(some({ ttlMs: or(ms), url: or(fc.constantFrom('x', 'y')) })), fc.constant(false)),
  });
}
const valid = source();
const patch = source(fc.constantFrom(null, 0, 'no', { unknown: 1 }));

// A second, simpler account of how sources combine, to hold the real one against.
function over(below: unknown, above: unknown, isPatch = false): unknown {
  if (!isTree(above)) return above;
  const result = new Map(Object.entries(isTree(below) ? below : {}));
  for (const [key, value] of Object.entries(above)) {
    if (isPatch && value === null) result.delete(key);
    else if (value !== undefined) result.set(key, over(result.get(key), value, isPatch));
  }
  return Object.fromEntries(result);
}

const service = { name: 'orders' };
const env = { MESH_RESILIENCE__DEFAULTS__TIMEOUT_MS: '4' };
const envTree = { resilience: { defaults: { timeoutMs: 4 } } };

type Command =
  | { readonly do: 'update'; readonly patch: object; readonly failAt: 'prepare' | 'commit' | 'health' | undefined }
  | { readonly do: 'file'; readonly tree: object }
  | { readonly do: 'rollback'; readonly back: number };

const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({
    do: fc.constant('update' as const),
    patch,
    failAt: fc.option(fc.constantFrom('prepare', 'commit', 'health'), { nil: undefined, freq: 3 }),
  }),
  fc.record({ do: fc.constant('file' as const), tree: source(fc.constantFrom(0, 'no')) }),
  fc.record({ do: fc.constant('rollback' as const), back: fc.integer({ min: 0, max: 3 }) }),
);

/** A client whose address has to follow the configuration, whatever happens. */
class Client implements ConfigParticipant<Config> {
  readonly name = 'client';
  readonly paths = ['cache'];
  failAt: string | undefined;
  open = 1;
  constructor(public url: string) {}

  prepare({ next }: { readonly next: Config }) {
    if (this.failAt === 'prepare') throw new Error('refused');
    this.open++;
    const before = this.url;
    return {
      commit: () => {
        this.url = urlOf(next);
        if (this.failAt === 'commit') throw new Error('refused');
      },
      revert: () => void (this.url = before),
      settle: () => void this.open--,
      discard: () => void this.open--,
    };
  }
}

function urlOf(config: Config): string {
  return config.cache === false ? 'memory' : config.cache.url;
}

/** All that an observer can tell of a store. */
function stateOf(store: ConfigStore<Config>, client: Client): unknown {
  return [store.snapshot, store.section('cache').current, client.url, client.open, store.explainAll()];
}

describe('any sequence of updates, files and roll-backs', () => {
  it('ends in what a fresh boot with the same values gives, and each refused one leaves everything as it was', async () => {
    await fc.assert(
      fc.asyncProperty(valid, fc.array(command, { maxLength: 12 }), async (given, commands) => {
        const clock = new VirtualClock();
        const store = await loadConfig({ schema, value: { service, ...given }, env, clock });
        const client = new Client(urlOf(store.snapshot));
        store.join(client);
        let goDown = (): void => undefined;
        store.watchHealthWith((onDown) => {
          goDown = () => onDown('client', 'told to');
          return () => (goDown = () => undefined);
        });
        let model = { file: {} as unknown, runtime: {} as unknown };
        const past = new Map([[1, model]]);

        for (const each of commands) {
          const before = stateOf(store, client);
          const { generation } = store;
          const target = each.do === 'rollback' ? Math.max(1, generation - each.back) : 0;
          const proposed = {
            update: () => ({ ...model, runtime: over(model.runtime, each.do === 'update' && each.patch, true) }),
            file: () => ({ ...model, file: each.do === 'file' && each.tree }),
            rollback: () => past.get(target)!,
          }[each.do]();
          client.failAt = each.do === 'update' ? each.failAt : undefined;

          const running =
            each.do === 'update'
              ? store.update(each.patch, { source: 'test' })
              : each.do === 'file'
                ? store.replaceFile({ kind: 'file', name: 'mesh.json', tree: each.tree })
                : store.rollback(target, { source: 'test' });
          const outcome = running.then(
            () => 'accepted',
            () => 'refused',
          );
          await clock.advance(1);
          if (client.failAt === 'health') goDown();
          await clock.advance(5_000);

          if ((await outcome) === 'accepted') model = proposed;
          else expect(stateOf(store, client)).toEqual(before);
          // A generation that was rolled back is remembered too.
          if (client.failAt === 'health') past.set(generation + 1, proposed);
          past.set(store.generation, model);
        }

        const value = [given, model.file, envTree, model.runtime].reduce<unknown>((a, b) => over(a, b), { service });
        const fresh = await loadConfig({ schema, value, env: {} });
        expect(store.snapshot).toEqual(fresh.snapshot);
        expect(store.section('resilience').current).toBe(store.snapshot.resilience);
        expect([client.url, client.open, clock.pendingTimers]).toEqual([urlOf(store.snapshot), 1, 0]);
      }),
      { numRuns: 150 },
    );
  });
});

describe('diff', () => {
  it('holds exactly what leads from one configuration to the other', () => {
    fc.assert(
      fc.property(valid, valid, (a, b) => {
        const [from, to] = [schema.parse({ service, ...a }), schema.parse({ service, ...b })];
        const changes = diff(schema, from, to);
        const applied = changes.reduce<unknown>((tree, { path, to: value }) => put(tree, path, value), from);
        expect(prune(applied)).toEqual(prune(to));
        expect(changes.every((change) => !Object.is(change.from, change.to))).toBe(true);
        expect(diff(schema, from, from)).toEqual([]);
        expect(
          diff(schema, to, from)
            .map(({ path }) => formatPath(path))
            .sort(),
        ).toEqual(changes.map(({ path }) => formatPath(path)).sort());
      }),
    );
  });
});

describe('merge', () => {
  it('lets the stronger source win leaf by leaf, whatever lies beneath, and changes neither', () => {
    fc.assert(
      fc.property(valid, valid, (below, above) => {
        const copies = structuredClone([below, above]);
        expect(prune(merge([schema], below, above))).toEqual(prune(over(below, above)));
        expect([below, above]).toEqual(copies);
        expect(prune(merge([schema], below, {}))).toEqual(prune(below));
      }),
    );
  });
});

describe('paths', () => {
  it('read back as they were written', () => {
    const segment = fc.oneof(fc.string({ minLength: 1 }), fc.constantFrom('a.b', 'a"b', "a'b", '[0]', 'ä'), fc.nat(99));
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1 }), (path) => {
        expect(parsePath(formatPath(path))).toEqual(path);
      }),
    );
  });
});

function put(tree: unknown, [key, ...rest]: ConfigPath, value: unknown): unknown {
  if (key === undefined) return value;
  return Object.fromEntries([
    ...Object.entries(isTree(tree) ? tree : {}),
    [key, put(isTree(tree) && Object.hasOwn(tree, key) ? tree[String(key)] : undefined, rest, value)],
  ]);
}

/** Without what is undefined, and without the empty sections that leaves behind. */
function prune(value: unknown): unknown {
  if (!isTree(value)) return value;
  const entries = Object.entries(value).flatMap(([key, inner]) => {
    const pruned = prune(inner);
    return pruned === undefined ? [] : [[key, pruned]];
  });
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
