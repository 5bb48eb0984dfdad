// Runs before the package is packed: the documents, and what Prometheus and Grafana load, as copies beside dist. A link to
// what stays in the repository becomes its text.
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const repository = new URL('../../../', import.meta.url).pathname;
const library = new URL('../', import.meta.url).pathname;
const files = globSync(['README.md', 'docs/*.md', 'ops/*.{yml,json}'], { cwd: repository });

for (const stale of globSync('{docs,ops}/*', { cwd: library }).filter((file) => !files.includes(file)))
  rmSync(join(library, stale), { force: true });
for (const file of files) {
  const text = readFileSync(join(repository, file), 'utf8');
  copy(join(library, file), file.endsWith('.md') ? withoutOutsideLinks(text, dirname(file)) : text);
}

function withoutOutsideLinks(text, folder) {
  return text.replaceAll(/\[([^\]]+)\]\((?!\w+:|#)([^)\s#]+)(?:#[^)\s]+)?\)/g, (link, shown, path) =>
    files.includes(join(folder, path)) ? link : shown,
  );
}

/** In one step, and only what differs: two may pack at once. */
function copy(path, text) {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
  mkdirSync(dirname(path), { recursive: true });
  const written = join(library, `.${basename(path)}.${process.pid}`);
  writeFileSync(written, text);
  renameSync(written, path);
}
