import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault, Fire } from './faults.js';
import type { Instance } from './instance.js';

/** The health watch after the update before (5 s) and the regular look at the file (10 s), twice, for a busy machine. */
const TAKES_EFFECT_WITHIN_MS = 30_000;
const CHARGE_TIMEOUT = 'resilience.policies["payments.charge"].timeoutMs';

/** Each looks whether the change took effect, or had none; what is not as it was told is one of the fire's `mistakes`. */
export const configurationFaults: readonly Fault[] = [
  {
    name: 'the configuration file is changed',
    strike: (fire) =>
      sparing(fire, 'gateway-1', async (gateway) => {
        const timeoutMs = await changeFile(fire, gateway);
        return `gateway-1: payments.charge.timeoutMs ${timeoutMs}`;
      }),
  },
  {
    name: 'the configuration file is spoiled',
    strike: (fire) =>
      sparing(fire, 'gateway-1', async (gateway) => {
        const before = await updatesOf(gateway);
        const value = await valueOf(fire, gateway, CHARGE_TIMEOUT);
        fire.fleet.writeConfig('{ "resilience": { "policies": { "payments.charge": { "timeoutMs": "soon" } } } }');
        const isRefused = await comes(async () => (await updatesOf(gateway)).rejected > before.rejected);
        if (!isRefused) fire.mistakes.push('gateway-1 did not refuse the spoiled file');
        const now = await valueOf(fire, gateway, CHARGE_TIMEOUT);
        const wasRolledBack = (await updatesOf(gateway)).rolledBack > before.rolledBack;
        if (now !== value && !wasRolledBack)
          fire.mistakes.push(`gateway-1: the spoiled file changed ${CHARGE_TIMEOUT} from ${value} to ${now}`);
        const timeoutMs = await changeFile(fire, gateway);
        return `gateway-1: ${isRefused ? 'refused' : 'not refused'}, then mended with timeoutMs ${timeoutMs}`;
      }),
  },
  {
    name: 'the configuration is patched by an operator',
    strike: (fire) =>
      sparing(fire, 'gateway-2', async (gateway) => {
        const ttlMs = fire.random.between(1_000, 60_000);
        const status = await fire.fleet.patchConfig(gateway, { cache: { ttlMs } });
        if (status !== 200) fire.mistakes.push(`gateway-2 answered a patch of cache.ttlMs with ${status}`);
        const value = await valueOf(fire, gateway, 'cache.ttlMs');
        if (value !== ttlMs) fire.mistakes.push(`gateway-2: cache.ttlMs is ${value} after a patch to ${ttlMs}`);
        return `gateway-2: cache.ttlMs ${ttlMs}, answered ${status}`;
      }),
  },
];

/** Nobody restarts the instance meanwhile: at boot a spoiled file is an error, as it should be. */
async function sparing(fire: Fire, name: string, strike: (instance: Instance) => Promise<string>): Promise<string> {
  const instance = fire.fleet.instance(name);
  while (instance.isRestarting) await sleep(100);
  instance.isSpared = true;
  try {
    return await strike(instance);
  } catch (error) {
    fire.mistakes.push(`${name} can't be asked for its configuration: ${String(error)}`);
    return 'not to be told';
  } finally {
    instance.isSpared = false;
  }
}

/** An update may also be rolled back, when another fault takes the readiness away right after it. */
async function changeFile({ fleet, random, mistakes }: Fire, gateway: Instance): Promise<number> {
  const timeoutMs = random.between(500, 1_000);
  const { rolledBack } = await updatesOf(gateway);
  fleet.writeConfig(
    JSON.stringify({ resilience: { policies: { 'payments.charge': { timeoutMs, retry: { maxRetries: 1 } } } } }),
  );
  const tookEffect = await comes(
    async () =>
      (await valueOf({ fleet }, gateway, CHARGE_TIMEOUT)) === timeoutMs ||
      (await updatesOf(gateway)).rolledBack > rolledBack,
  );
  if (!tookEffect) mistakes.push(`gateway-1: ${CHARGE_TIMEOUT} did not become ${timeoutMs} by its file`);
  return timeoutMs;
}

async function comes(isThere: () => Promise<boolean>): Promise<boolean> {
  for (const giveUpAt = Date.now() + TAKES_EFFECT_WITHIN_MS; Date.now() < giveUpAt; await sleep(100))
    if (await isThere()) return true;
  return false;
}

async function valueOf({ fleet }: Pick<Fire, 'fleet'>, instance: Instance, path: string): Promise<unknown> {
  const { value } = await fleet.ask(instance, `/mesh/config/explain?path=${encodeURIComponent(path)}`);
  return value;
}

async function updatesOf(instance: Instance): Promise<{ readonly rejected: number; readonly rolledBack: number }> {
  const page = await (await instance.get('/metrics')).text();
  const count = (result: string): number =>
    Number(new RegExp(`^mesh_config_updates_total\\{[^}]*result="${result}"[^}]*\\} (\\S+)`, 'm').exec(page)?.[1] ?? 0);
  return { rejected: count('rejected'), rolledBack: count('rolled-back') };
}
