// What the mesh adds to the start of a Nest application on Express with one route, in fresh processes that take turns.
import { execFileSync } from 'node:child_process';
import { median, print } from '../harness.js';

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
const measured = [
  ['importMs', 'imports, CPU time', 'ms'],
  ['startMs', 'from create to listening, CPU time', 'ms'],
  ['heapMb', 'heap after a collection', 'MB'],
  ['rssMb', 'resident memory', 'MB'],
];
print(
  `An application with one route, ${rounds} processes each (ratio to Nest alone)`,
  measured.flatMap(([key, what, unit]) => {
    const [plain, mesh] = [of('plain', key), of('mesh', key)];
    return [
      { name: `${what}: Nest alone`, value: plain, unit, ratio: 1 },
      { name: `${what}: with the mesh`, value: mesh, unit, ratio: mesh / plain },
    ];
  }),
);
