// What the mesh adds to the start of a Nest application on Express with one route, in fresh processes that take turns.
import { execFileSync } from 'node:child_process';

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const child = new URL('child.mjs', import.meta.url).pathname;
const rounds = Number(process.env.BENCH_ROUNDS ?? 9);
const samples = { plain: [], mesh: [] };

for (let round = 0; round <= rounds; round++) {
  for (const kind of round % 2 === 0 ? ['plain', 'mesh'] : ['mesh', 'plain']) {
    const sample = JSON.parse(execFileSync(process.execPath, ['--expose-gc', child, kind], { encoding: 'utf8' }));
    if (round > 0) samples[kind].push(sample); // the first ones fill the caches of files
  }
}

const of = (kind, key) => median(samples[kind].map((sample) => sample[key]));
console.log('\nStart of an application with one route, median of', rounds, 'processes each');
for (const [key, what] of [
  ['importMs', 'imports, CPU ms'],
  ['startMs', 'create to listening, CPU ms'],
  ['heapMb', 'heap after a collection, MB'],
  ['rssMb', 'resident memory, MB'],
]) {
  const [plain, mesh] = [of('plain', key), of('mesh', key)];
  console.log(
    `  ${what.padEnd(28)} plain ${plain.toFixed(1).padStart(7)}   with the mesh ${mesh.toFixed(1).padStart(7)}   +${(mesh - plain).toFixed(1)}`,
  );
}
