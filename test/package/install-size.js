// What `npm i nestjs-mesh` adds to an application with Nest and Express: node test/package/install-size.js, after a build.
import { execFileSync } from 'node:child_process';
import { globSync, lstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const folder = mkdtempSync(join(tmpdir(), 'mesh-size-'));
const npm = (...args) =>
  execFileSync('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...args], { cwd: folder });

function measure() {
  const files = globSync('node_modules/**', { cwd: folder }).map((path) => lstatSync(join(folder, path)));
  const packages = execFileSync('npm', ['ls', '--all', '--parseable'], { cwd: folder, encoding: 'utf8' });
  return {
    bytes: files.filter((file) => file.isFile()).reduce((sum, { size }) => sum + size, 0),
    packages: packages.trim().split('\n').length - 1,
  };
}

try {
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  npm(...['common', 'core', 'platform-express'].map((name) => `@nestjs/${name}@12`), 'reflect-metadata', 'rxjs');
  const before = measure();
  const [{ filename, size }] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--pack-destination', folder], { cwd: resolve('libs/mesh') }),
  );
  npm(join(folder, filename));
  const after = measure();
  const mb = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(`nestjs-mesh itself: ${mb(size)} packed`);
  console.log(`Nest with Express:  ${mb(before.bytes)} in ${before.packages} packages`);
  console.log(`with nestjs-mesh:   ${mb(after.bytes)} in ${after.packages} packages`);
  console.log(`added:              ${mb(after.bytes - before.bytes)} in ${after.packages - before.packages} packages`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
