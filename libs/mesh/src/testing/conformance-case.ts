import assert from 'node:assert/strict';
import { SystemClock } from '../core/clock.js';

/** One rule that every broker, or every cache, keeps. Give `name` and `run` to the test runner of your choice. */
export interface ConformanceCase {
  readonly name: string;
  run(): Promise<void>;
}

interface Subject {
  close(): Promise<void> | void;
}

export const clock = new SystemClock();

/** Each rule on a subject of its own, which is closed after it. */
export function casesOf<S extends Subject>(
  rules: Readonly<Record<string, (subject: S) => Promise<void>>>,
  create: () => Promise<S> | S,
): readonly ConformanceCase[] {
  return Object.entries(rules).map(([name, rule]) => ({ name, run: async () => obey(rule, await create()) }));
}

async function obey<S extends Subject>(rule: (subject: S) => Promise<void>, subject: S): Promise<void> {
  try {
    await rule(subject);
  } catch (broken) {
    // What the rule found explains more than a subject that cannot be closed after it.
    await Promise.allSettled([(async () => subject.close())()]);
    throw broken;
  }
  await subject.close();
}

export async function eventually(
  condition: () => Promise<boolean> | boolean,
  otherwise: string,
  withinMs = 5_000,
): Promise<void> {
  const giveUpAt = clock.monotonic() + withinMs;
  while (!(await condition())) {
    if (clock.monotonic() > giveUpAt) assert.fail(otherwise);
    await clock.sleep(2);
  }
}
