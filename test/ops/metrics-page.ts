import type { MetricDescription } from '../../libs/mesh/src/metrics/prometheus.metrics.js';

const BEGIN = '<!-- metrics: generated, UPDATE_DOCS=1 npx vitest run test/ops -->';
const END = '<!-- /metrics -->';

/** The page with its table made anew: one row a metric, the mesh's own first. */
export function withMetricsTable(page: string, defined: readonly MetricDescription[]): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/metrics.md has lost its marks ${BEGIN} and ${END}`);
  return `${page.slice(0, begin)}${BEGIN}\n\n${table(defined)}\n\n${page.slice(end)}`;
}

function table(defined: readonly MetricDescription[]): string {
  const rank = ({ name }: MetricDescription): string => `${name.startsWith('mesh_') ? 0 : 1}${name}`;
  const rows = [...defined]
    .sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
    .map(({ name, type, labels, help }) => [
      `\`${name}\``,
      type,
      labels.map((label) => `\`${label}\``).join(', '),
      help,
    ]);
  const all = [['Metric', 'Type', 'Labels', 'What'], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [line(all[0]!), rule, ...all.slice(1).map(line)].join('\n');
}
