import { setTimeout as sleep } from 'node:timers/promises';
import type { BurningFleet } from './burning-fleet.js';
import { configurationFaults } from './configuration-faults.js';
import type { Instance } from './instance.js';
import type { Mood } from './payment-provider.js';
import type { Random } from './random.js';

export interface Fire {
  readonly fleet: BurningFleet;
  readonly random: Random;
  /** The long form: faults last longer. */
  readonly isLong: boolean;
  /** What may be restarted now; towards the end some are spared, so that their memory can be judged. */
  readonly targets: () => readonly Instance[];
  /** What a fault found that must not be. */
  readonly mistakes: string[];
}

export interface Fault {
  readonly name: string;
  /** Breaks something, repairs it, and says what it was. */
  strike(fire: Fire): Promise<string>;
}

/** Faults by what they hit. Two that hit the same thing never burn together. */
export const faults: Readonly<Record<string, readonly Fault[]>> = {
  provider: (['fails', 'hangs', 'charges-then-fails'] as const).map((mood) => ({
    name: `provider ${mood}`,
    strike: (fire) => provider(fire, mood),
  })),
  redis: [
    {
      name: 'Redis is killed',
      strike: async ({ fleet: { redis }, ...fire }) => {
        await redis.kill();
        const ms = await pause(fire, 1_000, 3_000);
        await redis.start();
        return `started again after ${ms} ms, empty`;
      },
    },
    {
      name: 'Redis is stopped (SIGSTOP)',
      strike: async ({ fleet: { redis }, ...fire }) => {
        redis.pause();
        const ms = await pause(fire, 1_500, 4_000);
        redis.resume();
        return `resumed after ${ms} ms`;
      },
    },
    {
      name: 'Redis is restarted',
      strike: async ({ fleet: { redis } }) => {
        await redis.kill();
        await redis.start();
        return 'at once, empty';
      },
    },
  ],
  nats: [
    {
      name: 'NATS is killed',
      strike: async ({ fleet: { nats }, ...fire }) => {
        await nats.kill();
        const ms = await pause(fire, 500, 3_000);
        await nats.start();
        return `started again after ${ms} ms`;
      },
    },
    {
      name: 'NATS is stopped (SIGSTOP)',
      strike: async ({ fleet: { nats }, ...fire }) => {
        nats.hang();
        const ms = await pause(fire, 1_000, 4_000);
        nats.resume();
        return `resumed after ${ms} ms`;
      },
    },
    {
      name: 'NATS is restarted',
      strike: async ({ fleet: { nats } }) => {
        await nats.kill();
        await nats.start();
        return 'at once';
      },
    },
  ],
  stop: [
    {
      name: 'an instance is restarted by SIGTERM',
      strike: async ({ random, targets }) => {
        const instance = random.pick(targets());
        return `${instance.name}, which ended after ${await instance.restart('SIGTERM')} ms`;
      },
    },
  ],
  kill: [
    {
      name: 'an instance is killed',
      strike: async ({ random, targets }) => {
        const instance = random.pick(targets());
        await instance.restart('SIGKILL');
        return instance.name;
      },
    },
  ],
  configuration: configurationFaults,
};

async function provider({ fleet, ...fire }: Fire, mood: Mood): Promise<string> {
  fleet.provider.mood = mood;
  const ms = await pause(fire, 1_500, 4_000);
  fleet.provider.recover();
  return `for ${ms} ms`;
}

/** The long form's pauses are up to three times as long. */
async function pause({ random, isLong }: Pick<Fire, 'random' | 'isLong'>, from: number, to: number): Promise<number> {
  const ms = random.between(from, isLong ? to * 3 : to);
  await sleep(ms);
  return ms;
}
