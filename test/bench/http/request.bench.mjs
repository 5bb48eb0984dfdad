// What request metrics, call context, correlation id and access log cost a request: CPU time of the server, beside Nest on
// Fastify alone and with nestjs-pino. The servers take turns, in rotating order; each ratio is the median of the rounds'.
// npm run build:lib && npm run bench -- request
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { goal } from '../harness.js';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 15);
const REQUESTS = 3_000;
const WARMUP = 15_000;
const CONNECTIONS = 20;
const variants = {
  plain: 'Nest on Fastify',
  mesh: 'with the mesh',
  'mesh-log': 'with the mesh and its access log',
  pino: 'with nestjs-pino',
};

async function start(kind) {
  const child = fork(new URL('request.server.mjs', import.meta.url), [kind], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [{ port }] = await once(child, 'message');
  return { kind, child, port, agent: new Agent({ keepAlive: true, maxSockets: CONNECTIONS }), costs: [] };
}

async function cpuUsOf({ child }) {
  child.send('cpu');
  const [{ cpuUs }] = await once(child, 'message');
  return cpuUs;
}

function request({ port, agent, kind }) {
  return new Promise((resolve, reject) => {
    get({ port, agent, host: '127.0.0.1', path: '/hello/ada' }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${kind} answered ${response.statusCode}`));
      response.resume().on('end', resolve);
    }).on('error', reject);
  });
}

async function costOf(server, requests) {
  const before = await cpuUsOf(server);
  let left = requests;
  const worker = async () => {
    while (left-- > 0) await request(server);
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  return ((await cpuUsOf(server)) - before) / requests;
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

const servers = await Promise.all(Object.keys(variants).map(start));
try {
  for (const server of servers) await costOf(server, WARMUP);
  for (let round = 0; round < ROUNDS; round++)
    for (let i = 0; i < servers.length; i++) {
      const server = servers[(i + round) % servers.length];
      server.costs.push(await costOf(server, REQUESTS));
    }
} finally {
  for (const { child, agent } of servers) {
    agent.destroy();
    child.disconnect();
  }
}
const [plain, mesh, meshLog, pino] = servers;
const ratio = (a, b) => median(a.costs.map((cost, i) => cost / b.costs[i]));
console.log('\nCPU of one request');
for (const server of servers)
  console.log(
    `  ${variants[server.kind].padEnd(36)} ${median(server.costs).toFixed(1).padStart(7)} us ${ratio(server, plain).toFixed(2).padStart(6)} x`,
  );
goal('request metrics, context and correlation id against Nest on Fastify', ratio(mesh, plain), 1.15, ' x');
goal('with the access log against nestjs-pino', ratio(meshLog, pino), 1.1, ' x');
