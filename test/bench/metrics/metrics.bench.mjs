// What a metric costs: an update on the call path, and a scrape for the event loop. prom-client in the same run.
// npm run build:lib && node --expose-gc test/bench/metrics/metrics.bench.mjs
// The goals are issue 6's: an update <= 40 ns and no allocation; 1,000 histogram series never block for more than 50 ms.
import { Counter, Histogram, Registry } from 'prom-client';

const dist = new URL(`${process.env.MESH_DIST ?? '../../../libs/mesh/dist'}/`, import.meta.url);
const load = (path) => import(new URL(path, dist).href);
const { PrometheusMetrics } = await load('metrics/prometheus.metrics.js');
const { HttpMetrics } = await load('metrics/http.metrics.js');
const { MeshEvents } = await load('core/mesh.events.js');
const { fixedOptions } = await load('core/live-options.js');

const ROUNDS = 21;
const UPDATES = 200_000;
const LABELS = { policy: 'payments.charge', outcome: 'ok', transport: 'http' };
const NAMES = Object.keys(LABELS);
const VALUES = Float64Array.from({ length: 1024 }, (_, i) => ((i * 7919) % 1024) / 400);

const client = (maxSeriesPerMetric = 1_000) =>
  new PrometheusMetrics(
    fixedOptions({ maxSeriesPerMetric, processMetrics: false, includeDefaultRegistry: false }),
    new MeshEvents(),
  );
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

function updates() {
  const own = client();
  const counter = own.counter({ name: 'a_total', help: 'A.', labels: NAMES }).with(LABELS);
  const gauge = own.gauge({ name: 'g', help: 'G.', labels: NAMES }).with(LABELS);
  const histogram = own.histogram({ name: 'h', help: 'H.', labels: NAMES }).with(LABELS);
  const http = new HttpMetrics(own);
  const request = { method: 'GET', route: '/orders/:id', status: 200, durationMs: 12.5 };
  const registers = [new Registry()];
  const promCounter = new Counter({ name: 'a', help: 'A.', labelNames: NAMES, registers }).labels(LABELS);
  const promHistogram = new Histogram({ name: 'h', help: 'H.', labelNames: NAMES, registers }).labels(LABELS);
  // Each case has a loop of its own: a shared one would measure how the engine copes with many shapes at one place.
  return {
    'empty loop': (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += VALUES[i & 1023];
      return sum;
    },
    'counter.inc': (n) => {
      for (let i = 0; i < n; i++) counter.inc();
    },
    'gauge.set': (n) => {
      for (let i = 0; i < n; i++) gauge.set(VALUES[i & 1023]);
    },
    'histogram.observe': (n) => {
      for (let i = 0; i < n; i++) histogram.observe(VALUES[i & 1023]);
    },
    'HttpMetrics.requestFinished': (n) => {
      for (let i = 0; i < n; i++) http.requestFinished(request);
    },
    'prom-client bound counter.inc': (n) => {
      for (let i = 0; i < n; i++) promCounter.inc();
    },
    'prom-client bound histogram.observe': (n) => {
      for (let i = 0; i < n; i++) promHistogram.observe(VALUES[i & 1023]);
    },
  };
}

function measureUpdates() {
  const cases = Object.entries(updates());
  const times = new Map(cases.map(([name]) => [name, []]));
  const bytes = new Map(cases.map(([name]) => [name, []]));
  for (const [, run] of cases) run(UPDATES);
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < cases.length; i++) {
      const [name, run] = cases[(i + round) % cases.length];
      const start = process.hrtime.bigint();
      run(UPDATES);
      const end = process.hrtime.bigint();
      times.get(name).push(Number(end - start) / UPDATES);
    }
  }
  // Few enough for no collection to come in between, and after everything is compiled.
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, run] of cases) {
      globalThis.gc?.();
      const heap = process.memoryUsage().heapUsed;
      run(10_000);
      bytes.get(name).push(Math.max(0, process.memoryUsage().heapUsed - heap) / 10_000);
    }
  }
  return cases.map(([name]) => ({
    case: name,
    'ns/update': Number(median(times.get(name)).toFixed(1)),
    'B/update': Number(median(bytes.get(name)).toFixed(2)),
  }));
}

/** The longest time in which nothing else could run while `work` was going on. */
async function longestBlock(work) {
  let running = true;
  let last = performance.now();
  let longest = 0;
  const turn = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  await new Promise((resolve) => setImmediate(resolve));
  longest = 0;
  const start = performance.now();
  const text = await work();
  const totalMs = performance.now() - start;
  await new Promise((resolve) => setImmediate(resolve));
  running = false;
  return { longest, totalMs, lines: text.split('\n').length };
}

async function measureScrapes() {
  const rows = [];
  for (const series of [1_000, 10_000]) {
    const own = client(series);
    const family = own.histogram({ name: 'h', help: 'H.', labels: NAMES });
    const register = new Registry();
    const prom = new Histogram({
      name: 'h',
      help: 'H.',
      labelNames: NAMES,
      registers: [register],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
    });
    for (let i = 0; i < series; i++) {
      const labels = { ...LABELS, policy: `policy-${i}` };
      family.with(labels).observe(0.03);
      prom.observe(labels, 0.03);
    }
    const contenders = {
      'nestjs-mesh': async () => (await own.expose()).body,
      'prom-client': () => register.metrics(),
    };
    for (const [name, scrape] of Object.entries(contenders)) {
      const runs = [];
      for (let i = 0; i < 7; i++) runs.push(await longestBlock(scrape));
      rows.push({
        case: `${name}, ${series} histogram series`,
        lines: runs[0].lines,
        'block ms (median)': Number(median(runs.map((run) => run.longest)).toFixed(1)),
        'block ms (worst)': Number(Math.max(...runs.map((run) => run.longest)).toFixed(1)),
        'total ms': Number(median(runs.map((run) => run.totalMs)).toFixed(1)),
      });
    }
  }
  return rows;
}

console.log(`node ${process.version}`);
console.table(measureUpdates());
console.table(await measureScrapes());
