import { readFileSync, writeFileSync } from 'node:fs';
import { Logger } from '@nestjs/common';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Point, peaceful, shared, violent } from './nest-own.points.js';
import { type Side, startPair } from './nest-points.fixture.js';
import { mqtt, nats, type NestServerKind, redis, rmq, tcp } from './nest-servers.fixture.js';

const PAGE = 'docs/broker-nest.md';
const BEGIN = '<!-- what holds over Nest: renew with UPDATE_DOCS=1 npx vitest run test/broker/nest-own -->\n\n';
const END = '\n\n<!-- end of what holds over Nest -->';
const SIDES: readonly Side[] = ["Nest's own", 'the mesh'];
const KINDS = [tcp, redis, nats, rmq, mqtt];
const RUN_MS = 120_000;

type Outcomes = Readonly<Record<string, boolean | undefined>>;

/** What holds, point by point, over a server of its own. */
async function outcomesOf(side: Side, kind: NestServerKind): Promise<Outcomes> {
  const server = await kind.start();
  const outcomes: Record<string, boolean | undefined> = {};
  let pairs = 0;
  const ask = async (points: Readonly<Record<string, Point>>): Promise<void> => {
    const pair = await startPair(side, kind, server, `${side === 'the mesh' ? 'mesh' : 'nest'}-${++pairs}`);
    for (const [name, point] of Object.entries(points)) outcomes[name] = await point(pair, server);
    await server.start();
    await pair.close();
  };
  try {
    await ask(peaceful);
    for (const [name, point] of Object.entries(violent)) await ask({ [name]: point });
    if (kind.via !== 'tcp') await ask(shared);
  } finally {
    await server.stop();
  }
  return outcomes;
}

function tableOf(outcomes: ReadonlyMap<string, Outcomes>): string {
  const points = Object.keys({ ...peaceful, ...violent, ...shared });
  const cell = (kind: NestServerKind, point: string): string =>
    SIDES.map((side) => word(outcomes.get(`${side} ${kind.via}`)![point])).join(' / ');
  return [
    `| Nest's own / under the mesh | ${KINDS.map(({ via }) => via).join(' | ')} |`,
    `| --- | ${KINDS.map(() => '---').join(' | ')} |`,
    ...points.map((point) => `| ${point} | ${KINDS.map((kind) => cell(kind, point)).join(' | ')} |`),
  ].join('\n');
}

function word(outcome: boolean | undefined): string {
  if (outcome === undefined) return '–';
  return outcome ? 'yes' : '**no**';
}

const whyNot = KINDS.map((kind) => kind.whyNot).join('');

describe.skipIf(whyNot)(`what holds over Nest's transports, without the mesh and with it${whyNot}`, () => {
  const outcomes = new Map<string, Outcomes>();

  beforeAll(async () => {
    Logger.overrideLogger(false);
    // One side after the other: the points are about time, and the machine has not that much of it.
    for (const side of SIDES) {
      const runs = KINDS.map(async (kind) => outcomes.set(`${side} ${kind.via}`, await outcomesOf(side, kind)));
      // All of them end, and their servers with them, before one that failed is told.
      await Promise.allSettled(runs);
      await Promise.all(runs);
    }
  }, RUN_MS);

  it('is what the page says', () => {
    const page = readFileSync(PAGE, 'utf8');
    const [before, rest] = page.split(BEGIN) as [string, string];
    const [recorded, after] = rest.split(END) as [string, string];
    const table = tableOf(outcomes);
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PAGE, `${before}${BEGIN}${table}${END}${after}`);
    else expect(rowsOf(recorded)).toEqual(rowsOf(table));
  });
});

/** Without the padding that the formatter adds. */
function rowsOf(table: string): readonly string[] {
  return table.split('\n').map((row) => row.replaceAll(/ +/g, ' ').replaceAll(/-{2,}/g, '---'));
}
