// Runs every benchmark, each in a process of its own: npm run bench [-- part of the file name]
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';

const wanted = process.argv[2] ?? '';
const files = globSync('**/*.bench.{js,mjs}', { cwd: import.meta.dirname }).filter((file) => file.includes(wanted));
let failures = 0;
for (const file of files.toSorted()) {
  console.log(`\n# ${file}`);
  const { status } = spawnSync(process.execPath, ['--expose-gc', `${import.meta.dirname}/${file}`], {
    stdio: 'inherit',
  });
  if (status !== 0) failures++;
}
if (failures > 0) process.exitCode = 1;
