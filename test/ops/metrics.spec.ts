import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { type LiveMetrics, liveMetrics } from './live-metrics.js';
import { withMetricsTable } from './metrics-page.js';

const PAGE = 'docs/metrics.md';

/** Debian's package `prometheus` has it; PROMTOOL names one that is elsewhere. */
const PROMTOOL = process.env['PROMTOOL'] ?? 'promtool';
const isInstalled = spawnSync(PROMTOOL, ['--version']).status === 0;
/** In CI it has to be there: the tests then run, and fail. */
const canRun = isInstalled || process.env['CI'] === 'true';
/** A skipped test says why. */
const unlessInstalled = canRun ? '' : ' (skipped: promtool of the Debian package prometheus is not installed)';

function promtool(args: readonly string[], input?: string) {
  const { status, stdout, stderr, error } = spawnSync(PROMTOOL, [...args], {
    encoding: 'utf8',
    ...(input && { input }),
  });
  if (error) throw new Error(`${PROMTOOL} can't be run; Debian's package prometheus has it`, { cause: error });
  return { status, said: `${stdout}${stderr}`.trim() };
}

let live: LiveMetrics;
beforeAll(async () => {
  live = await liveMetrics();
});

describe('the metrics of an application', () => {
  it('are the ones that docs/metrics.md lists', () => {
    const page = readFileSync(PAGE, 'utf8');
    const generated = withMetricsTable(page, live.defined);
    if (process.env['UPDATE_DOCS']) writeFileSync(PAGE, generated);
    else expect(page, 'the table is old: UPDATE_DOCS=1 npx vitest run test/ops').toBe(generated);
  });

  it('are all that the source names', () => {
    const files = globSync('libs/mesh/src/**/*.ts', { exclude: ['**/*.spec.ts', '**/*.fixture.ts'] });
    const source = files.map((file) => readFileSync(file, 'utf8')).join('\n');
    const named = [...new Set([...source.matchAll(/'(mesh_\w+)'/g)].map(([, name]) => name!))];
    expect(named.length).toBeGreaterThan(40);
    const defined = new Set(live.defined.map(({ name }) => name));
    expect(named.filter((name) => !defined.has(name))).toEqual([]);
  });

  it.skipIf(!canRun)(`satisfy promtool check metrics, without a remark${unlessInstalled}`, () => {
    for (const page of live.pages) expect(promtool(['check', 'metrics'], page)).toEqual({ status: 0, said: '' });
  });
});

describe('the rules', () => {
  it.skipIf(!canRun)(`satisfy promtool check rules${unlessInstalled}`, () => {
    const { status, said } = promtool(['check', 'rules', 'ops/prometheus-rules.yml']);
    expect(said).toContain('SUCCESS');
    expect(status).toBe(0);
  });

  it.skipIf(!canRun)(`fire when they should and only then (promtool test rules)${unlessInstalled}`, () => {
    const { status, said } = promtool(['test', 'rules', 'ops/prometheus-rules.test.yml']);
    expect(said).toContain('SUCCESS');
    expect(status).toBe(0);
  });

  it('have a case for each alert that fires', () => {
    const rules = readFileSync('ops/prometheus-rules.yml', 'utf8');
    const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, alert]) => alert!);
    const cases = readFileSync('ops/prometheus-rules.test.yml', 'utf8');
    expect(alerts.filter((alert) => !new RegExp(`alertname: ${alert}\\s+exp_alerts:`).test(cases))).toEqual([]);
  });

  it('name only metrics that exist', () => {
    expect(unknownMetrics(readFileSync('ops/prometheus-rules.yml', 'utf8'))).toEqual([]);
  });
});

describe('the dashboard', () => {
  const file = 'ops/grafana-dashboard.json';

  it('queries only metrics that exist', () => {
    const expressions = [...readFileSync(file, 'utf8').matchAll(/"expr": "(.*)"/g)].map((match) => match[1]!);
    expect(expressions.length).toBeGreaterThan(10);
    expect(unknownMetrics(expressions.join('\n'))).toEqual([]);
  });

  it('gives every panel an id and a place of its own', () => {
    const { panels } = JSON.parse(readFileSync(file, 'utf8')) as {
      panels: { id: number; gridPos: { x: number; y: number } }[];
    };
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(new Set(panels.map(({ gridPos: { x, y } }) => `${x},${y}`)).size).toBe(panels.length);
  });
});

/** Metric names in the text that no application defines. A rule's own name has colons, as is the custom. */
function unknownMetrics(text: string): string[] {
  const defined = new Set(
    live.defined.flatMap(({ name, type }) =>
      type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  );
  const named = new Set([...text.matchAll(/\b(?:mesh|nodejs|process)_[a-z0-9_]+/g)].map(([name]) => name));
  return [...named].filter((name) => !defined.has(name));
}
