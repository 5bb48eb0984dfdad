// Runs the tests on every major version of Node.js that is supported, from npm's packages of Node:
// npm run test:matrix [-- what to hand to vitest]. The library is built once, by the Node.js of the repository.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

const versions = ['22', '24', '26'];
const store = resolve('node_modules/.cache/mesh-matrix');
const results = new Map();

for (const version of versions) {
  const bin = install(version);
  const node = join(bin, 'node');
  console.log(`\n# Node.js ${execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()}`);
  const { status } = spawnSync(node, ['node_modules/vitest/vitest.mjs', 'run', ...process.argv.slice(2)], {
    stdio: 'inherit',
    // Tests that start processes by name get the same one.
    env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` },
  });
  results.set(version, status === 0);
}

for (const [version, passed] of results) console.log(`Node.js ${version}: ${passed ? 'passed' : 'FAILED'}`);
if ([...results.values()].includes(false)) process.exitCode = 1;

/** @returns the folder with its executable. */
function install(version) {
  const folder = join(store, `node-${version}`);
  const bin = join(folder, 'node_modules/.bin');
  if (existsSync(join(bin, 'node'))) return bin;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, allowScripts: { node: true } }));
  execFileSync('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', `node@${version}`], {
    cwd: folder,
    stdio: 'inherit',
  });
  return bin;
}
