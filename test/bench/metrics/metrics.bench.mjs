// What a metric costs: an update on the call path, and a scrape for the event loop. prom-client in the same run.
// npm run build:lib && npm run bench -- metrics/
// The goals are issue 6's: an update <= 40 ns and no allocation; 1,000 histogram series never block for more than 50 ms.
import { Counter, Histogram, Registry } from 'prom-client';
import { goal, load, print, race, rowOf } from '../harness.js';

const { PrometheusMetrics } = await load('metrics/prometheus.metrics.js');
const { HttpMetrics } = await load('metrics/http.metrics.js');
const { MeshEvents } = await load('core/mesh.events.js');
const { fixedOptions } = await load('core/live-options.js');

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

const rows = await race(updates());
print('One update (ratio to an empty loop)', rows);
for (const name of ['counter.inc', 'gauge.set', 'histogram.observe', 'HttpMetrics.requestFinished']) {
  goal(`${name} on the call path`, rowOf(rows, name).ns, 40, ' ns');
  // The harness itself leaves about half a byte a call; a boxed number would be 16.
  goal(`${name} allocates nothing`, rowOf(rows, name).bytes, 1, ' B');
}

const scrapes = await measureScrapes();
console.log('\nOne scrape');
console.table(scrapes);
goal('longest block of a scrape of 1,000 histogram series', scrapes[0]['block ms (median)'], 50, ' ms');
goal('longest block of a scrape of 10,000 histogram series', scrapes[2]['block ms (median)'], 50, ' ms');
