// docs/benchmarks.md, made of what the benchmarks tell.
import { cpus } from 'node:os';
import { format } from 'prettier';
import { medianOf, number } from './harness.js';

const upTo = ({ limit, unit }) => `${number(limit)}${unit}`;

/** What `npm run bench -- …` calls the benchmark. */
export const nameOf = (file) => file.replace(/\.bench\.m?js$/, '');

export const goalsOf = ({ results }) => results.filter((result) => 'goal' in result);

/** One goal as a line of the terminal. */
export function goalLine({ goal, value, limit, unit, ok }) {
  return `  ${ok ? 'reached' : 'MISSED '} ${goal}: ${number(value)}${unit} (at most ${upTo({ limit, unit })})`;
}

/** The page: a part for each benchmark, with its goals and with the medians that they come from. */
export async function benchmarksPage(runs) {
  const text = [
    '# Benchmarks',
    'Written by `npm run bench`: what the mesh costs beside its peers, side by side in one run. Medians; trust the ratios,',
    'not the times, which are of this machine: ' + machine() + '.',
    'Each part is one benchmark: `npm run bench -- resilience/call` runs one alone.',
    ...runs.flatMap((run) => [
      `\n## ${nameOf(run.file)}`,
      ...goalTable(goalsOf(run)),
      ...run.results.filter((result) => 'rows' in result).flatMap(medianTable),
    ]),
  ].join('\n');
  return format(text, { parser: 'markdown', printWidth: 120, proseWrap: 'preserve' });
}

function machine() {
  const [{ model }] = cpus();
  return `${model.trim()}, ${cpus().length} cores, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`;
}

function goalTable(goals) {
  if (goals.length === 0) return [];
  const rows = goals.map((goal) =>
    row([goal.goal, `${number(goal.value)}${goal.unit}`, upTo(goal), goal.ok ? 'yes' : '**no**']),
  );
  return ['', row(['what', 'measured', 'goal, at most', 'met']), '|---|--:|--:|---|', ...rows];
}

function medianTable({ title, rows }) {
  const allocates = rows.some(({ bytes }) => bytes !== undefined);
  const lines = rows.map(({ name, ratio, bytes, ...measured }) =>
    row([name, medianOf(measured), `${number(ratio)} x`, ...(allocates ? [bytesText(bytes)] : [])]),
  );
  const heads = ['', 'median', 'ratio', ...(allocates ? ['allocated'] : [])];
  return [
    `\n${title[0].toUpperCase()}${title.slice(1)}:`,
    '',
    row(heads),
    `|---${'|--:'.repeat(heads.length - 1)}|`,
    ...lines,
  ];
}

const bytesText = (bytes) => (bytes === undefined ? '' : `${Math.max(0, Math.round(bytes))} B`);
const row = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
