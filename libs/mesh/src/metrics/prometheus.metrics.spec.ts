import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { fixedOptions } from '../core/live-options.js';
import { type MeshEventMap, MeshEvents } from '../core/mesh.events.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import type { ForeignMetric } from './exposition.writer.js';
import { ForeignReader } from './foreign.reader.js';
import { MAX_FOREIGN_READ_MS } from './metrics.constants.js';
import { metricsSchema } from './metrics.options.js';
import type { ForeignMetrics } from './prom-client.adapter.js';
import { PrometheusMetrics } from './prometheus.metrics.js';

function setup(
  options: { maxSeriesPerMetric?: number; includeDefaultRegistry?: boolean } = {},
  foreign?: ForeignMetrics,
) {
  const events = new MeshEvents();
  const overflows: MeshEventMap['metrics.overflow'][] = [];
  events.on('metrics.overflow', (event) => overflows.push(event));
  const clock = new VirtualClock();
  const reader = foreign && new ForeignReader(foreign, clock);
  const metrics = new PrometheusMetrics(fixedOptions(metricsSchema.parse(options)), events, reader);
  const text = async (accept?: string) => (await metrics.expose(accept)).body;
  return { metrics, text, overflows, clock };
}

function foreignOf(...given: (ForeignMetric | Error)[]): ForeignMetrics {
  const nameOf = (metric: ForeignMetric | Error) => metric.name;
  return {
    names: () => given.map(nameOf),
    read: async (name) => {
      const found = given.find((metric) => nameOf(metric) === name);
      if (found instanceof Error) throw found;
      return found;
    },
  };
}

const OPENMETRICS = 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5';

describe('PrometheusMetrics', () => {
  it('writes counters and gauges with their labels in the order of the definition', async () => {
    const { metrics, text } = setup();
    const calls = metrics.counter({ name: 'calls_total', help: 'Calls.', labels: ['policy', 'outcome'] });
    calls.with({ outcome: 'ok', policy: 'pay' }).inc();
    calls.with({ policy: 'pay', outcome: 'ok' }).inc(2);
    const open = metrics.gauge({ name: 'open', help: 'Open.' }).with({});
    open.set(5);
    open.dec();

    const body = await text();
    expect(body).toContain(
      '# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{policy="pay",outcome="ok"} 3\n',
    );
    expect(body).toContain('# TYPE open gauge\nopen 4\n');
  });

  it('writes a histogram with cumulative buckets, a value on a bound counted below it', async () => {
    const { metrics, text } = setup();
    const family = metrics.histogram({ name: 'wait_seconds', help: 'Wait.', labels: ['to'], buckets: [0.1, 1] });
    const wait = family.with({ to: 'db' });
    for (const value of [0.1, 0.5, 7]) wait.observe(value);

    expect(await text()).toContain(
      [
        'wait_seconds_bucket{to="db",le="0.1"} 1',
        'wait_seconds_bucket{to="db",le="1"} 2',
        'wait_seconds_bucket{to="db",le="+Inf"} 3',
        'wait_seconds_sum{to="db"} 7.6',
        'wait_seconds_count{to="db"} 3',
      ].join('\n'),
    );
  });

  it('shows a metric without labels at 0 before its first update, and one with labels not at all', async () => {
    const { metrics, text } = setup();
    metrics.counter({ name: 'a_total', help: 'A.' });
    metrics.counter({ name: 'b_total', help: 'B.', labels: ['x'] });
    const body = await text();
    expect(body).toContain('a_total 0\n');
    expect(body).not.toContain('b_total');
  });

  it('escapes label values and help, so that no value can write a line of its own', async () => {
    const { metrics, text } = setup();
    metrics
      .gauge({ name: 'g', help: 'One\ntwo \\ three', labels: ['v'] })
      .with({ v: 'a"} 1\nfake 2\\' })
      .set(1);
    const body = await text();
    expect(body).toContain('# HELP g One\\ntwo \\\\ three\n');
    expect(body).toContain('g{v="a\\"} 1\\nfake 2\\\\"} 1\n');
  });

  it('writes values that are no finite numbers the way Prometheus reads them', async () => {
    const { metrics, text } = setup();
    const family = metrics.gauge({ name: 'g', help: 'G.', labels: ['v'] });
    family.with({ v: 'a' }).set(Infinity);
    family.with({ v: 'b' }).set(-Infinity);
    family.with({ v: 'c' }).set(NaN);
    expect(await text()).toMatch(/g\{v="a"\} \+Inf\ng\{v="b"\} -Inf\ng\{v="c"\} NaN\n/);
  });

  it('answers in OpenMetrics when Accept asks for it', async () => {
    const { metrics } = setup();
    metrics.counter({ name: 'a_total', help: 'Say "a".' }).with({}).inc();
    const { body, contentType } = await metrics.expose(OPENMETRICS);
    expect(contentType).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(body).toContain('# HELP a Say \\"a\\".\n# TYPE a counter\na_total 1\n');
    expect(body.endsWith('# EOF\n')).toBe(true);
  });

  it.each([undefined, '*/*', 'text/plain', 'text/plain;q=1,application/openmetrics-text;q=0.5'])(
    'answers in plain text to Accept: %s',
    async (accept) => {
      const { metrics } = setup();
      const { body, contentType } = await metrics.expose(accept);
      expect(contentType).toContain('text/plain; version=0.0.4');
      expect(body).not.toContain('# EOF');
    },
  );

  it('hands out the same family for the same definition', async () => {
    const { metrics, text } = setup();
    metrics
      .counter({ name: 'a_total', help: 'A.', labels: ['x'] })
      .with({ x: '1' })
      .inc();
    metrics
      .counter({ name: 'a_total', help: 'Other words.', labels: ['x'] })
      .with({ x: '1' })
      .inc();
    expect(await text()).toContain('a_total{x="1"} 2\n');
  });

  it('refuses the same name with another type, other labels or other buckets', () => {
    const { metrics } = setup();
    metrics.gauge({ name: 'a', help: 'A.', labels: ['x'] });
    metrics.histogram({ name: 'h', help: 'H.', buckets: [1] });
    expect(() => metrics.histogram({ name: 'a', help: 'A.', labels: ['x'] })).toThrow(
      /"a" is a gauge .* use another name/,
    );
    expect(() => metrics.gauge({ name: 'a', help: 'A.', labels: ['y'] })).toThrow(/labels \[x\]/);
    expect(() => metrics.histogram({ name: 'h', help: 'H.', buckets: [2] })).toThrow(/buckets \[1\]/);
  });

  it.each([
    [{ name: 'calls', help: 'h' }, /ends in "_total"/],
    [{ name: '1_total', help: 'h' }, /begins with no digit/],
    [{ name: 'a_total', help: 'h', labels: ['a-b'] }, /"a-b" is no valid name/],
    [{ name: 'a_total', help: 'h', labels: ['a', 'a'] }, /stands twice/],
  ])('refuses the definition %j', (definition, message) => {
    expect(() => setup().metrics.counter(definition)).toThrow(message);
  });

  it('refuses labels that are not the ones of the definition', () => {
    const family = setup().metrics.counter<string>({ name: 'a_total', help: 'A.', labels: ['x'] });
    expect(() => family.with({})).toThrow(/takes the labels x, but was given none/);
    expect(() => family.with({ x: '1', y: '2' })).toThrow(/was given x, y/);
  });

  it('counts label sets beyond the limit in one overflow series and says so once', async () => {
    const { metrics, text, overflows } = setup({ maxSeriesPerMetric: 2 });
    const family = metrics.counter({ name: 'a_total', help: 'A.', labels: ['x', 'y'] });
    for (const x of ['1', '2', '3', '4']) family.with({ x, y: 'z' }).inc();
    family.with({ x: '1', y: 'z' }).inc();

    const body = await text();
    expect(body).toContain('a_total{x="1",y="z"} 2\na_total{x="2",y="z"} 1\na_total{x="__other__",y="__other__"} 2\n');
    expect(body).toContain('mesh_metric_series_dropped_total{metric="a_total"} 2\n');
    expect(overflows).toEqual([{ metric: 'a_total', limit: 2 }]);
  });

  it('counts the overflow of several metrics with a limit of 1', async () => {
    const { metrics, text } = setup({ maxSeriesPerMetric: 1 });
    for (const name of ['a_total', 'b_total']) {
      const family = metrics.counter({ name, help: 'H.', labels: ['x'] });
      for (const x of ['1', '2']) family.with({ x }).inc();
    }
    expect(await text()).toMatch(/dropped_total\{metric="a_total"\} 1\nmesh_\w+\{metric="b_total"\} 1\n/);
  });

  it('leaves out updates that would spoil a series, and counts them', async () => {
    const { metrics, text } = setup();
    const counter = metrics.counter({ name: 'a_total', help: 'A.' }).with({});
    counter.inc(-1);
    counter.inc(NaN);
    metrics.histogram({ name: 'h', help: 'H.' }).with({}).observe(NaN);
    const body = await text();
    expect(body).toContain('a_total 0\n');
    expect(body).toContain('h_count 0\n');
    expect(body).toContain('mesh_metric_updates_rejected_total{metric="a_total"} 2\n');
  });

  it('calls back before each exposition until unsubscribed, and survives a callback that throws', async () => {
    const { metrics, text } = setup();
    const gauge = metrics.gauge({ name: 'g', help: 'G.' }).with({});
    metrics.onCollect(() => {
      throw new Error('no');
    });
    const unsubscribe = metrics.onCollect(() => gauge.inc());
    expect(await text()).toContain('g 1\n');
    unsubscribe();
    const body = await text();
    expect(body).toContain('g 1\n');
    expect(body).toContain('mesh_metric_collect_errors_total 2\n');
  });

  it('shares one exposition among scrapes that arrive together', async () => {
    const { metrics } = setup();
    let collected = 0;
    metrics.onCollect(() => collected++);
    const [first, second] = await Promise.all([metrics.expose(), metrics.expose()]);
    expect(first).toBe(second);
    expect(collected).toBe(1);
  });

  it('lets the event loop turn during a long exposition', async () => {
    const { metrics } = setup({ maxSeriesPerMetric: 100_000 });
    const family = metrics.counter({ name: 'a_total', help: 'A.', labels: ['x'] });
    for (let i = 0; i < 10_000; i++) family.with({ x: String(i) }).inc();
    let turns = 0;
    let running = true;
    const turn = () => {
      turns++;
      if (running) setImmediate(turn);
    };
    setImmediate(turn);
    const { body } = await metrics.expose();
    running = false;
    expect(turns).toBeGreaterThanOrEqual(4);
    expect(body.match(/^a_total\{/gm)).toHaveLength(10_000);
  });

  describe('with metrics from elsewhere', () => {
    const theirs: ForeignMetric = {
      name: 'orders',
      help: 'Orders.',
      type: 'counter',
      samples: [{ name: 'orders', labels: 'kind="a"', value: 3 }],
    };

    it('adds them, in both formats', async () => {
      const { text } = setup({}, foreignOf(theirs));
      expect(await text()).toContain('# TYPE orders counter\norders{kind="a"} 3\n');
      expect(await text(OPENMETRICS)).toContain('# TYPE orders counter\norders_total{kind="a"} 3\n');
    });

    it('prefers ours when both have a name', async () => {
      const { metrics, text } = setup({}, foreignOf(theirs));
      metrics.gauge({ name: 'orders', help: 'Ours.' }).with({}).set(1);
      const body = await text();
      expect(body.match(/# TYPE orders /g)).toHaveLength(1);
      expect(body).toContain('orders 1\n');
    });

    it('leaves out one that throws and keeps the rest', async () => {
      const broken = Object.assign(new Error('db is away'), { name: 'broken' });
      const { text } = setup({}, foreignOf(broken, theirs));
      const body = await text();
      expect(body).toContain('orders{kind="a"} 3\n');
      expect(body).not.toContain('broken');
      expect(await text()).toContain('mesh_metric_collect_errors_total 1\n');
    });

    it('leaves out one that hangs, keeps those that are slow, and asks it again when it has answered', async () => {
      const { promise: hanging, resolve: answer } = Promise.withResolvers<ForeignMetric>();
      const stuck = { ...theirs, name: 'stuck', samples: [{ name: 'stuck', labels: '', value: 1 }] };
      const slow = { ...theirs, name: 'slow', samples: [{ name: 'slow', labels: '', value: 2 }] };
      const read = {
        stuck: vi.fn(() => hanging),
        slow: () => nextTurn().then(() => nextTurn(slow)),
        orders: async () => theirs,
      };
      const { text, clock } = setup({}, { names: () => Object.keys(read), read: (name) => read[name as 'stuck']() });

      const first = text();
      await expect.poll(() => clock.pendingTimers).toBe(1);
      await clock.advance(MAX_FOREIGN_READ_MS);
      expect(await first).toMatch(/orders\{kind="a"\} 3\n(.*\n)*slow 2\n/);
      expect(await first).not.toContain('stuck');

      const second = await text();
      expect(second).toContain('mesh_metric_collect_errors_total 1\n');
      expect(second).toContain('slow 2\n');
      expect(read.stuck).toHaveBeenCalledTimes(1);

      answer(stuck);
      await nextTurn();
      expect(await text()).toContain('stuck 1\n');
      expect(clock.pendingTimers).toBe(0);
    });

    it('leaves all of them out when told to', async () => {
      const { text } = setup({ includeDefaultRegistry: false }, foreignOf(theirs));
      expect(await text()).not.toContain('orders');
    });
  });
});
