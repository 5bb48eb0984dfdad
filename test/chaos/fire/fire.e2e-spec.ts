import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { canRun, whyNot } from '../fleet.servers.js';
import { burn } from './arson.js';
import { BurningFleet, type Sabotage } from './burning-fleet.js';
import { Customers } from './customers.js';
import { leaveDeadLetter } from './dead-letters.js';
import { LoadBalancer } from './load-balancer.js';
import { MemoryWatch } from './memory-watch.js';
import { Random } from './random.js';
import { writeReport } from './report.js';
import { Timeline } from './timeline.js';
import { type Finding, judge, judgeLog, judgeRunning, judgeTrade } from './verdict.js';

/** `npm run chaos`: the long form. */
const IS_LONG = process.env['MESH_FULL'] === '1';
const SEED = Number(process.env['MESH_CHAOS_SEED'] ?? Math.floor(Math.random() * 1_000_000));
const FIRE_MS = Number(process.env['MESH_CHAOS_MS'] ?? 400_000);
/** For all that has to settle, together. No promise is that narrow: it leaves time for the report before the limit. */
const SETTLE_WITHIN_MS = IS_LONG ? 60_000 : 40_000;
const LIMIT_MS = IS_LONG ? 600_000 : 180_000;
const REPORTS_BEFORE_LIMIT_MS = 20_000;

/** Ways to break the promise on purpose, to see that the judge notices: MESH_CHAOS_SABOTAGE. */
const SABOTAGES: Readonly<Record<string, Sabotage>> = {
  'forgetful-provider': { spoil: ({ provider }) => void (provider.forgetsKeys = true) },
  'log-in-memory': { environment: { MESH_BROKER__JETSTREAM__STORAGE: 'memory' } },
  'dead-letter': { spoil: ({ nats }) => leaveDeadLetter(nats.url) },
  'unwatched-file': { spoil: (fleet) => void (fleet.configFile += '.lost') },
};
const SABOTAGE = process.env['MESH_CHAOS_SABOTAGE'];
if (SABOTAGE !== undefined && !Object.hasOwn(SABOTAGES, SABOTAGE))
  throw new Error(`MESH_CHAOS_SABOTAGE is none of ${Object.keys(SABOTAGES).join(', ')}: "${SABOTAGE}"`);

describe.skipIf(!canRun)(`the demo under fire${whyNot}`, () => {
  let fleet: BurningFleet | undefined;

  afterEach(() => fleet?.stop(), 60_000);

  it(`keeps its promises whatever fails (seed ${SEED})`, { timeout: LIMIT_MS }, async () => {
    const outOfTime = AbortSignal.timeout(LIMIT_MS - REPORTS_BEFORE_LIMIT_MS);
    const form = IS_LONG ? 'long' : 'short';
    const folder = fileURLToPath(new URL(`.reports/${form}-${SEED}`, import.meta.url));
    fleet = await BurningFleet.start(folder, SABOTAGE === undefined ? undefined : SABOTAGES[SABOTAGE]);
    const timeline = new Timeline();
    const balancer = new LoadBalancer(fleet.gateways, timeline);
    const customers = new Customers(balancer, timeline);
    const memory = new MemoryWatch(fleet.instances, () => timeline.nowMs);
    const findings: Finding[] = [];
    try {
      memory.start();
      customers.begin();
      const burning = burnAndJudge({ fleet, timeline, balancer, customers, memory }, findings);
      await Promise.race([burning, rejection(outOfTime)]);
    } catch (error) {
      findings.push({ invariant: 'the fire comes to its end', holds: false, detail: String((error as Error).stack) });
    } finally {
      balancer.stop();
      void customers.close();
      void memory.stop();
      console.log(`${writeReport({ folder, seed: SEED, form, timeline, customers, findings })}\n${folder}/report.md`);
    }
    expect(findings.filter(({ holds }) => !holds)).toEqual([]);
    expect(customers.accepted.length).toBeGreaterThan(50);
  });
});

interface Scene {
  readonly fleet: BurningFleet;
  readonly timeline: Timeline;
  readonly balancer: LoadBalancer;
  readonly customers: Customers;
  readonly memory: MemoryWatch;
}

/** Adds to `findings` as it goes, so that they are known however it ends. */
async function burnAndJudge(scene: Scene, findings: Finding[]): Promise<void> {
  const { fleet, timeline, customers, memory } = scene;
  const { instances } = fleet;
  await sleep(1_000);
  const spared = IS_LONG ? ['gateway-1', 'payments-1'] : [];
  const mayRestart = (name: string): boolean => timeline.nowMs < FIRE_MS / 2 || !spared.includes(name);
  const targets = () =>
    instances.filter(({ name, isRestarting, isSpared }) => mayRestart(name) && !isRestarting && !isSpared);
  const mistakes: string[] = [];
  await burn({ fleet, random: new Random(SEED), isLong: IS_LONG, targets, mistakes }, timeline, FIRE_MS);

  // Calm trade: what is open by now closes at its own calls.
  await sleep(IS_LONG ? 5_000 : 3_000);
  // A shorter fire may spare them for less time than two measurements take.
  const mustBeMeasured = FIRE_MS >= 100_000 ? spared : [];
  const evidence = { ...scene, mistakes, mustBeMeasured, settleBy: Date.now() + SETTLE_WITHIN_MS };
  findings.push(...(await judgeTrade(evidence)));
  await customers.close();
  await memory.stop();
  findings.push(...(await judgeLog(evidence, 'as the running processes know it')));
  findings.push(...(await judgeRunning(evidence)));
  // What is in memory does not count: these read the log anew.
  const readers = instances.filter(({ name }) => name === 'gateway-1' || name === 'inventory-1');
  await timeline.during('the readers of the log are killed once more', async () => {
    await Promise.all(readers.map((reader) => reader.restart('SIGKILL')));
    return readers.map(({ name }) => name).join(', ');
  });
  findings.push(...(await judgeLog(evidence, 'as it is read anew')), ...(await judge(evidence)));
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
}
