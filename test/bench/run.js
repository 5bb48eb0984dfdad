// Runs the benchmarks, each in a process of its own: npm run bench [-- part of the file name]
// All of them together write docs/benchmarks.md, unless one breaks.
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MISSED } from './harness.js';
import { benchmarksPage, goalLine } from './page.js';

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

const goals = runs.flatMap(({ results }) => results.filter((result) => 'goal' in result));
const broken = runs.filter(({ broke }) => broke);
console.log('\n# Goals');
for (const goal of goals) console.log(goalLine(goal));
for (const { file } of broken) console.log(`  BROKE   ${file}`);
if (wanted === '' && broken.length === 0)
  writeFileSync(new URL('../../docs/benchmarks.md', import.meta.url), await benchmarksPage(runs));
if (broken.length > 0 || goals.some(({ ok }) => !ok)) process.exitCode = 1;
