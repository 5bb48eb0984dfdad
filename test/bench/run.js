// Runs the benchmarks, each in a process of its own: npm run bench [-- part of the file name]
// All of them together write docs/benchmarks.md, unless one breaks.
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MISSED } from './harness.js';
import { benchmarksPage, goalLine, goalsOf, nameOf } from './page.js';

const wanted = process.argv[2] ?? '';
const files = globSync('**/*.bench.{js,mjs}', { cwd: import.meta.dirname }).filter((file) => file.includes(wanted));
const folder = mkdtempSync(join(tmpdir(), 'mesh-bench-'));
const told = join(folder, 'results.jsonl');
const runs = [];
for (const file of files.toSorted()) {
  console.log(`\n# ${file}`);
  writeFileSync(told, '');
  const { status } = spawnSync(process.execPath, ['--expose-gc', join(import.meta.dirname, file)], {
    stdio: 'inherit',
    env: { ...process.env, BENCH_RESULTS: told },
  });
  const results = readFileSync(told, 'utf8').split('\n').filter(Boolean).map(JSON.parse);
  runs.push({ file, results, broke: status !== 0 && status !== MISSED });
}
rmSync(folder, { recursive: true });

const broken = runs.filter(({ broke }) => broke);
console.log('\n# Goals');
for (const run of runs) {
  if (run.broke || goalsOf(run).length > 0) console.log(nameOf(run.file) + (run.broke ? ' BROKE' : ''));
  for (const goal of goalsOf(run)) console.log(goalLine(goal));
}
if (wanted === '' && broken.length === 0)
  writeFileSync(new URL('../../docs/benchmarks.md', import.meta.url), await benchmarksPage(runs));
if (broken.length > 0 || runs.flatMap(goalsOf).some(({ ok }) => !ok)) process.exitCode = 1;
