import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { canRun, whyNot } from '../fleet.servers.js';
import { burn } from './arson.js';
import { BurningFleet, type Sabotage } from './burning-fleet.js';
import { Customers } from './customers.js';
import { LoadBalancer } from './load-balancer.js';
import { MemoryWatch } from './memory-watch.js';
import { Random } from './random.js';
import { writeReport } from './report.js';
import { Timeline } from './timeline.js';
import { judge, judgeLog } from './verdict.js';

/** `npm run chaos`: the long form. */
const IS_LONG = process.env['MESH_FULL'] === '1';
const SEED = Number(process.env['MESH_CHAOS_SEED'] ?? Math.floor(Math.random() * 1_000_000));
const FIRE_MS = Number(process.env['MESH_CHAOS_MS'] ?? 400_000);
const SETTLE_WITHIN_MS = IS_LONG ? 60_000 : 20_000;

/** Ways to break the promise on purpose, to see that the judge notices: MESH_CHAOS_SABOTAGE. */
const SABOTAGES: Readonly<Record<string, Sabotage>> = {
  'forgetful-provider': { provider: true, environment: {} },
  'log-in-memory': { provider: false, environment: { MESH_BROKER__JETSTREAM__STORAGE: 'memory' } },
};
const SABOTAGE = process.env['MESH_CHAOS_SABOTAGE'];

describe.skipIf(!canRun)(`the demo under fire${whyNot}`, () => {
  let fleet: BurningFleet | undefined;

  afterEach(() => fleet?.stop(), 60_000);

  it(`keeps its promises whatever fails (seed ${SEED})`, { timeout: IS_LONG ? 600_000 : 180_000 }, async () => {
    const form = IS_LONG ? 'long' : 'short';
    const folder = fileURLToPath(new URL(`.reports/${form}-${SEED}`, import.meta.url));
    fleet = await BurningFleet.start(folder, SABOTAGE === undefined ? undefined : SABOTAGES[SABOTAGE]);
    const { instances, gateways } = fleet;
    const timeline = new Timeline();
    const balancer = new LoadBalancer(gateways, timeline);
    const customers = new Customers(balancer, timeline);
    const memory = new MemoryWatch(instances, () => timeline.nowMs);
    memory.start();
    customers.begin();
    await sleep(1_000);

    const spared = IS_LONG ? ['gateway-1', 'payments-1'] : [];
    const mayRestart = (name: string): boolean => timeline.nowMs < FIRE_MS / 2 || !spared.includes(name);
    const targets = () => instances.filter(({ name, isRestarting }) => mayRestart(name) && !isRestarting);
    await burn({ fleet, random: new Random(SEED), isLong: IS_LONG, targets }, timeline, FIRE_MS);

    // Calm trade: what is open by now closes at its own calls.
    await sleep(IS_LONG ? 5_000 : 3_000);
    await customers.close();
    await memory.stop();
    const evidence = { fleet, customers, balancer, memory, settleWithinMs: SETTLE_WITHIN_MS };
    const live = await judgeLog(evidence, 'as the running processes know it');
    // What is in memory does not count: these read the log anew.
    const readers = instances.filter(({ name }) => name === 'gateway-1' || name === 'inventory-1');
    await timeline.during('the readers of the log are killed once more', async () => {
      await Promise.all(readers.map((reader) => reader.restart('SIGKILL')));
      return readers.map(({ name }) => name).join(', ');
    });
    const findings = [...live, ...(await judgeLog(evidence, 'as it is read anew')), ...(await judge(evidence))];
    balancer.stop();

    console.log(`${writeReport({ folder, seed: SEED, form, timeline, customers, findings })}\n${folder}/report.md`);
    expect(findings.filter(({ holds }) => !holds)).toEqual([]);
    expect(customers.accepted.length).toBeGreaterThan(50);
  });
});
