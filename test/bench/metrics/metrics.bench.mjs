// What a metric costs: an update on the call path, and a scrape for the event loop. prom-client in the same run.
// npm run build:lib && npm run bench -- metrics/
// The goals: an update <= 40 ns and no allocation; no scrape of 1,000 or 10,000 histogram series blocks for more than 50 ms.
import { Counter, Histogram, Registry } from 'prom-client';
import { goal, load, median, print, race, rowOf } from '../harness.js';

const { PrometheusMetrics } = await load('metrics/prometheus.metrics.js');
const { HttpMetrics } = await load('metrics/http.metrics.js');
const { MeshEvents } = await load('core/mesh.events.js');
const { fixedOptions } = await load('core/live-options.js');

const LABELS = { policy: 'payments.charge', outcome: 'ok', transport: 'http' };
const NAMES = Object.keys(LABELS);
const SERIES = [1_000, 10_000];
const SCRAPES = 20;
const VALUES = Float64Array.from({ length: 1024 }, (_, i) => ((i * 7919) % 1024) / 400);

const client = (maxSeriesPerMetric = 1_000) =>
  new PrometheusMetrics(
    fixedOptions({ maxSeriesPerMetric, processMetrics: false, includeDefaultRegistry: false }),
    new MeshEvents(),
  );
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
  return Object.entries({
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
  }).map(([name, run]) => ({ name, run }));
}

/** What this thread has worked so far, in ms: on a shared machine the wall clock also counts the work of others. */
function worked() {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

/** The longest time in which nothing else could run while `work` was going on. */
async function longestBlock(work) {
  let running = true;
  let last = worked();
  let longest = 0;
  const turn = () => {
    const now = worked();
    longest = Math.max(longest, now - last);
    last = now;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  await new Promise((resolve) => setImmediate(resolve));
  longest = 0;
  await work();
  await new Promise((resolve) => setImmediate(resolve));
  running = false;
  return longest;
}

async function measureScrapes() {
  const rows = [];
  for (const series of SERIES) {
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
    const ours = rows.length;
    for (const [name, scrape] of Object.entries(contenders)) {
      const blocks = [];
      for (let i = 0; i < SCRAPES; i++) blocks.push(await longestBlock(scrape));
      const value = median(blocks);
      const ratio = value / (rows[ours]?.value ?? value);
      rows.push({ name: `${name}, ${series} series`, value, unit: 'ms', ratio, worst: Math.max(...blocks) });
    }
  }
  return rows;
}

const rows = await race(updates());
print('One update (ratio to an empty loop)', rows);
for (const name of ['counter.inc', 'gauge.set', 'histogram.observe', 'HttpMetrics.requestFinished']) {
  goal(`${name} on the call path`, rowOf(rows, name).ns, 40, ' ns');
  // The harness itself leaves about half a byte a call; a boxed number would be 16.
  goal(`${name} allocates nothing`, rowOf(rows, name).bytes, 1, ' B');
}

const scrapes = await measureScrapes();
print(
  `The longest block of the event loop in one of ${SCRAPES} scrapes of histograms, CPU time (ratio to ours)`,
  scrapes,
);
for (const series of SERIES) {
  const { worst } = rowOf(scrapes, `nestjs-mesh, ${series} series`);
  goal(`the worst block of ${SCRAPES} scrapes of ${series} histogram series`, worst, 50, ' ms');
}
