// docs/benchmarks.md, made of what the benchmarks tell.
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import { format } from 'prettier';

const number = (value) => String(Number(value.toPrecision(3)));
const upTo = ({ limit, unit }) => `${number(limit)}${unit}`;

/** One goal as a line of the terminal. */
export function goalLine({ goal, value, limit, unit, ok }) {
  return `  ${ok ? 'reached' : 'MISSED '} ${goal}: ${number(value)}${unit} (at most ${upTo({ limit, unit })})`;
}

/** The page: a part for each folder of benchmarks, with its goals and with the medians that they come from. */
export async function benchmarksPage(runs) {
  const rooms = Map.groupBy(runs, ({ file }) => dirname(file));
  const text = [
    '# Benchmarks',
    'Written by `npm run bench`: what the mesh costs beside its peers, side by side in one run. Medians; trust the ratios,',
    'not the times, which are of this machine: ' + machine() + '.',
    ...[...rooms].flatMap(([room, runsOfIt]) => [
      `\n## ${room[0].toUpperCase()}${room.slice(1)}`,
      ...goalTable(runsOfIt.flatMap(({ results }) => results.filter((result) => 'goal' in result))),
      ...runsOfIt.flatMap(({ results }) => results.filter((result) => 'rows' in result).flatMap(medianTable)),
    ]),
  ].join('\n');
  return format(text, { parser: 'markdown', printWidth: 120, proseWrap: 'preserve' });
}

function machine() {
  const [{ model }] = cpus();
  return `${model.trim()}, ${cpus().length} cores, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`;
}

function goalTable(goals) {
  if (goals.length === 0) return ['\nNo goals.'];
  const rows = goals.map((goal) =>
    row([goal.goal, `${number(goal.value)}${goal.unit}`, upTo(goal), goal.ok ? 'yes' : '**no**']),
  );
  return ['', row(['what', 'measured', 'goal, at most', 'met']), '|---|--:|--:|---|', ...rows];
}

function medianTable({ title, rows }) {
  const lines = rows.map(({ name, ns, ratio, bytes }) =>
    row([name, time(ns), `${number(ratio)} x`, bytes === undefined ? '' : `${Math.max(0, Math.round(bytes))} B`]),
  );
  return [`\n${title}:`, '', row(['', 'median', 'ratio', 'allocated']), '|---|--:|--:|--:|', ...lines];
}

const time = (ns) => (ns < 1_000 ? `${number(ns)} ns` : `${number(ns / 1_000)} us`);
const row = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
