// What request metrics, call context, correlation id and access log cost a request, beside Nest on Fastify alone and with
// nestjs-pino. npm run build:lib && npm run bench -- http/request
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { goal, print } from '../harness.js';
import { raceServers } from './server-race.js';

const script = fileURLToPath(new URL('request.server.mjs', import.meta.url));
const PLAIN = 'Nest on Fastify';
const MESH = 'with the mesh';
const MESH_LOG = 'with the mesh and its access log';
const PINO = 'with nestjs-pino';
const variants = [
  { name: PLAIN, args: ['plain'] },
  { name: MESH, args: ['mesh'] },
  { name: MESH_LOG, args: ['mesh-log'], line: '"event":"http.request"' },
  { name: PINO, args: ['pino'], line: '"msg":"request completed"' },
].map((variant) => ({ ...variant, script }));

/** A logger whose middleware is bound to the wrong routes is fast: each has to show its line before it is measured. */
async function assertWritesLine({ name, args, line }) {
  const child = fork(script, args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  const [{ port }] = await once(child, 'message');
  await (await fetch(`http://127.0.0.1:${port}/hello/ada`)).text();
  child.disconnect();
  await once(child.stdout, 'end');
  if (!output.includes(line)) throw new Error(`${name} writes no line: ${output}`);
}

for (const variant of variants) if (variant.line) await assertWritesLine(variant);
const { cost, ratio } = await raceServers(variants, '/hello/ada');
print(
  'CPU time of one request',
  variants.map(({ name }) => ({ name, ns: cost(name) * 1_000, ratio: ratio(name, PLAIN) })),
);
goal('request metrics, context and correlation id against Nest on Fastify', ratio(MESH, PLAIN), 1.15, ' x');
goal('with the access log against nestjs-pino', ratio(MESH_LOG, PINO), 1.1, ' x');
