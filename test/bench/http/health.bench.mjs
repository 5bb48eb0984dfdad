// What a readiness probe costs the server: CPU time per request, with 5 and with 50 contributors, beside Terminus alone.
// The servers run at the same time and take turns, in rotating order; each ratio is the median of the rounds' ratios.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get } from 'node:http';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 15);
const REQUESTS = 4_000;
const WARMUP = 20_000;
const CONNECTIONS = 20;

const variants = [
  { name: 'mesh, 5 contributors', args: ['mesh', '5'] },
  { name: 'mesh, 50 contributors', args: ['mesh', '50'] },
  { name: 'Terminus alone, 5 indicators', args: ['terminus', '5'] },
  { name: 'Terminus alone, 50 indicators', args: ['terminus', '50'] },
];

async function start({ name, args }) {
  const child = fork(new URL('health.server.mjs', import.meta.url), args);
  const [{ port }] = await once(child, 'message');
  return { name, child, port, agent: new Agent({ keepAlive: true, maxSockets: CONNECTIONS }), costs: [] };
}

async function cpuUsOf({ child }) {
  child.send('cpu');
  const [{ cpuUs }] = await once(child, 'message');
  return cpuUs;
}

function request({ port, agent, name }) {
  return new Promise((resolve, reject) => {
    get({ port, agent, host: '127.0.0.1', path: '/health/ready' }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${name} answered ${response.statusCode}`));
      response.resume().on('end', resolve);
    }).on('error', reject);
  });
}

/** CPU microseconds that the server spends on one request. */
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

export async function run() {
  const servers = await Promise.all(variants.map(start));
  try {
    for (const server of servers) await costOf(server, WARMUP);
    for (let round = 0; round < ROUNDS; round++) {
      for (let i = 0; i < servers.length; i++) {
        const server = servers[(i + round) % servers.length];
        server.costs.push(await costOf(server, REQUESTS));
      }
    }
  } finally {
    for (const { child, agent } of servers) {
      agent.destroy();
      child.disconnect();
    }
  }
  const [mesh5, mesh50, , terminus50] = servers;
  const ratio = (a, b) => median(a.costs.map((cost, i) => cost / b.costs[i]));
  return {
    cpuUsPerRequest: Object.fromEntries(servers.map(({ name, costs }) => [name, Number(median(costs).toFixed(1))])),
    goals: [
      { goal: '50 contributors cost at most 1.2x of 5', limit: 1.2, ratio: ratio(mesh50, mesh5) },
      { goal: 'at most 0.5x of Terminus alone with 50', limit: 0.5, ratio: ratio(mesh50, terminus50) },
    ],
  };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { cpuUsPerRequest, goals } = await run();
  console.table(cpuUsPerRequest);
  for (const { goal, ratio, limit } of goals) {
    console.log(`${ratio <= limit ? 'ok  ' : 'MISS'} ${goal}: ${ratio.toFixed(2)}x`);
    if (ratio > limit) process.exitCode = 1;
  }
}
