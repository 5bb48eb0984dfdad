// A small benchmark harness. Contenders take turns in one process, in rotating order; a ratio is taken inside each round,
// and the median of the rounds is what counts: on a shared machine nanoseconds drift, ratios hold.
import { appendFileSync } from 'node:fs';

export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** The library as built: `npm run build:lib`, or MESH_DIST for a build elsewhere. */
export const dist = new URL(`${process.env.MESH_DIST ?? '../../libs/mesh/dist'}/`, import.meta.url);
export const load = (path) => import(new URL(path, dist).href);

const timed = async (contender, calls) => {
  const from = process.hrtime.bigint();
  await contender.run(calls);
  return Number(process.hrtime.bigint() - from) / calls;
};

/** Bytes allocated by one call, as heap growth without a collection in between. */
async function allocated(contender, calls = 2_000) {
  await contender.run(calls);
  const samples = [];
  for (let sample = 0; sample < 5; sample++) {
    globalThis.gc();
    const before = process.memoryUsage().heapUsed;
    await contender.run(calls);
    samples.push((process.memoryUsage().heapUsed - before) / calls);
  }
  return median(samples);
}

/**
 * Measures `contenders` ({ name, run(calls) }) against the first of them. `run` does `calls` calls one after another in a
 * loop of its own: a shared loop would measure how the engine copes with many shapes in one place.
 */
export async function race(contenders, { rounds = Number(process.env.BENCH_ROUNDS ?? 21), roundMs = 15 } = {}) {
  const entries = [];
  for (const contender of contenders) {
    for (let warmUp = 0; warmUp < 20; warmUp++) await timed(contender, 2_000);
    const calls = Math.max(20, Math.floor((roundMs * 1e6) / (await timed(contender, 2_000))));
    entries.push({ contender, calls, ns: [], ratios: [] });
  }
  for (let round = 0; round < rounds; round++) {
    const results = new Map();
    for (let turn = 0; turn < entries.length; turn++) {
      const entry = entries[(round + turn) % entries.length];
      const ns = await timed(entry.contender, entry.calls);
      results.set(entry, ns);
    }
    for (const [entry, ns] of results) {
      entry.ns.push(ns);
      entry.ratios.push(results.get(entries[0]) === undefined ? NaN : ns / results.get(entries[0]));
    }
  }
  const rows = [];
  for (const { contender, ns, ratios } of entries)
    rows.push({ name: contender.name, ns: median(ns), ratio: median(ratios), bytes: await allocated(contender) });
  return rows;
}

/** What run.js makes docs/benchmarks.md of; a benchmark that is run by itself has nobody to tell. */
function tell(result) {
  if (process.env.BENCH_RESULTS) appendFileSync(process.env.BENCH_RESULTS, `${JSON.stringify(result)}\n`);
}

/** Three digits say all that a shared machine knows. */
export const number = (value) => String(Number(value.toPrecision(3)));

/** The median of a row, with its unit. */
export function medianOf({ ns, value = ns, unit = 'ns' }) {
  if (unit !== 'ns' || value < 1_000) return `${number(value)} ${unit}`;
  return `${number(value / 1_000)} us`;
}

/**
 * Shows medians: rows of { name, ns, ratio }, or of { name, value, unit, ratio } for what is no time of a call, and, where it
 * was measured, the bytes that one call allocates.
 */
export function print(title, rows) {
  tell({ title, rows });
  console.log(`\n${title}`);
  for (const { name, ratio, bytes, ...row } of rows)
    console.log(
      `  ${name.padEnd(52)} ${medianOf(row).padStart(12)} ${ratio.toFixed(2).padStart(8)} x ${bytes === undefined ? '' : `${bytes.toFixed(0).padStart(8)} B`}`,
    );
}

const failed = [];

/** How a benchmark ends that missed a goal; one that broke ends with 1. */
export const MISSED = 2;

/** States one goal and whether it was reached; the process ends with {@link MISSED} when one was not. */
export function goal(text, value, limit, unit = '') {
  const ok = value <= limit;
  if (!ok) failed.push(text);
  process.exitCode = failed.length === 0 ? 0 : MISSED;
  tell({ goal: text, value, limit, unit, ok });
  console.log(`  ${ok ? 'reached' : 'MISSED '} ${text}: ${value.toFixed(2)}${unit} (at most ${limit}${unit})`);
}

export const rowOf = (rows, name) => rows.find((row) => row.name === name);
