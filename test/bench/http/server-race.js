// Compares servers by the CPU time that one request costs them. What is to be seen is a microsecond or two, and what
// hides it is larger, so:
// - the servers take turns, in rotating order, and a ratio is taken inside each round: a busy machine is busy for all;
// - each is started several times: which functions V8 optimizes well, and whether dead objects of the old generation keep
//   the garbage of each request alive, is chance for a whole process, and worth several microseconds. (A collection
//   before each turn would settle the latter, and costs three times as much as a request for a while.)
// - the client is as cheap as can be, so that the servers have always something to do.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { median } from '../harness.js';

const HEATS = Number(process.env.BENCH_HEATS ?? 5);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 15);
const REQUESTS = 2_000;
const WARMUP = 15_000;
const CONNECTIONS = 50;

class Connection {
  #request;
  #socket;
  #answer = '';
  #answered;

  constructor(port, path) {
    this.#request = `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`;
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true }).setEncoding('latin1');
    this.#socket.on('data', (text) => this.#read(text));
  }

  request() {
    return new Promise((resolve, reject) => {
      this.#answered = { resolve, reject };
      this.#socket.write(this.#request);
    });
  }

  close() {
    this.#socket.destroy();
  }

  #read(text) {
    this.#answer += text;
    const head = this.#answer.indexOf('\r\n\r\n');
    if (head < 0) return;
    const [, length] = /content-length: (\d+)/i.exec(this.#answer);
    if (this.#answer.length < head + 4 + Number(length)) return;
    const answer = this.#answer;
    this.#answer = '';
    if (answer.startsWith('HTTP/1.1 200')) this.#answered.resolve();
    else this.#answered.reject(new Error(answer));
  }
}

async function start({ name, script, args }, path) {
  const stdio = ['ignore', 'ignore', 'inherit', 'ipc'];
  const child = fork(script, args, { stdio });
  const [{ port }] = await once(child, 'message');
  const connections = Array.from({ length: CONNECTIONS }, () => new Connection(port, path));
  return { name, child, connections, costs: [] };
}

function stop({ child, connections }) {
  for (const connection of connections) connection.close();
  child.disconnect();
}

async function cpuUsOf({ child }) {
  child.send('cpu');
  const [{ cpuUs }] = await once(child, 'message');
  return cpuUs;
}

async function request({ connections }, count) {
  let left = count;
  await Promise.all(
    connections.map(async (connection) => {
      while (left-- > 0) await connection.request();
    }),
  );
}

async function turn(server) {
  const before = await cpuUsOf(server);
  await request(server, REQUESTS);
  server.costs.push(((await cpuUsOf(server)) - before) / REQUESTS);
}

/** One heat: every server started anew. Returns for each what a request cost it, round by round. */
async function heat(variants, path) {
  const servers = await Promise.all(variants.map((variant) => start(variant, path)));
  try {
    for (const server of servers) await request(server, WARMUP);
    for (let round = 0; round < ROUNDS; round++)
      for (let i = 0; i < servers.length; i++) await turn(servers[(i + round) % servers.length]);
  } finally {
    servers.forEach(stop);
  }
  return servers.map(({ costs }) => costs);
}

/**
 * Races `variants` ({ name, script, args }) on `path`. Returns `cost(name)`, CPU microseconds of a request, and
 * `ratio(name, of)`: medians of the heats' medians.
 */
export async function raceServers(variants, path) {
  const heats = [];
  for (let i = 0; i < HEATS; i++) heats.push(await heat(variants, path));
  const place = (name) => variants.findIndex((variant) => variant.name === name);
  const cost = (name) => median(heats.map((costs) => median(costs[place(name)])));
  const ratio = (name, of) =>
    median(heats.map((costs) => median(costs[place(name)].map((us, round) => us / costs[place(of)][round]))));
  return { cost, ratio };
}
