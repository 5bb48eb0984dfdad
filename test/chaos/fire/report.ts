import { writeFileSync } from 'node:fs';
import type { Customers } from './customers.js';
import type { Timeline } from './timeline.js';
import type { Finding } from './verdict.js';

interface Report {
  readonly folder: string;
  readonly seed: number;
  readonly form: 'long' | 'short';
  readonly timeline: Timeline;
  readonly customers: Customers;
  readonly findings: readonly Finding[];
}

/** Writes `report.md` and `report.json`, and returns the lines that are worth printing. */
export function writeReport({ folder, seed, form, timeline, customers, findings }: Report): string {
  const counts = timeline.counts();
  const { accepted, refused, open } = customers;
  const summary = [
    `${form} form, seed ${seed}: ${timeline.faults.length} faults in ${seconds(timeline.nowMs)} s`,
    `${accepted.length} orders accepted, ${refused.length} refused, ${open.length} without a clear answer`,
    `answers: ${list(counts)}`,
    ...findings.map(({ invariant, holds, detail }) => `${holds ? 'holds ' : 'BROKEN'}  ${invariant}: ${detail}`),
  ];
  const data = {
    seed,
    form,
    milliseconds: timeline.nowMs,
    orders: { accepted: accepted.length, refused: refused.length, open: open.length },
    answers: counts,
    findings,
    faults: timeline.faults.map((fault) => ({ ...fault, answers: timeline.counts(fault.fromMs, fault.toMs) })),
  };
  writeFileSync(`${folder}/report.json`, `${JSON.stringify(data, undefined, 2)}\n`);
  writeFileSync(`${folder}/report.md`, markdown(data, findings, timeline));
  return summary.join('\n');
}

function markdown(
  {
    seed,
    form,
    milliseconds,
    orders,
    answers,
  }: { seed: number; form: string; milliseconds: number; orders: object; answers: object },
  findings: readonly Finding[],
  timeline: Timeline,
): string {
  const rows = (cells: readonly (readonly unknown[])[]): string =>
    cells.map((row) => `| ${row.join(' | ')} |`).join('\n');
  return `# Under fire: ${form} form, seed ${seed}

${seconds(milliseconds)} s. Orders: ${list(orders)}. Answers: ${list(answers)}.

## Findings

| | invariant | |
| --- | --- | --- |
${rows(findings.map(({ invariant, holds, detail }) => [holds ? 'holds' : '**broken**', invariant, detail]))}

## Timeline

| from | for | fault | | answers until it was over |
| --- | --- | --- | --- | --- |
${rows(
  timeline.faults.map(({ fault, detail, fromMs, toMs }) => [
    `${seconds(fromMs)} s`,
    `${seconds(toMs - fromMs)} s`,
    fault,
    detail,
    list(timeline.counts(fromMs, toMs)),
  ]),
)}

## Answers by the second

| second | answers |
| --- | --- |
${rows(
  Array.from({ length: Math.ceil(milliseconds / 1_000) }, (_, second) => [
    second,
    list(timeline.counts(second * 1_000, (second + 1) * 1_000)),
  ]),
)}
`;
}

function list(counts: object): string {
  return (
    Object.entries(counts)
      .sort(([, a], [, b]) => Number(b) - Number(a))
      .map(([what, count]) => `${what} ${String(count)}`)
      .join(', ') || 'none'
  );
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}
