import { expect, it } from 'vitest';
import { CallContexts } from '../core/call-context.js';
import { SystemIds } from '../core/ids.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { JobIntake } from './job.intake.js';

it('counts a job that answers with a lazy query as running until that is done, in its context', async () => {
  const contexts = new CallContexts();
  const jobs = new JobIntake({ contexts, clock: new VirtualClock(), ids: new SystemIds() });
  let seen: unknown;
  let finish: (value: string) => void = () => undefined;
  // As the queries of Prisma, Knex and Mongoose: they begin when somebody waits for them.
  const query = {
    // oxlint-disable-next-line unicorn/no-thenable
    then(resolve: (value: string) => void) {
      seen = contexts.current()?.correlationId;
      finish = resolve;
    },
  };
  const done = jobs.run('invoices', () => query as unknown as Promise<string>, { 'x-correlation-id': 'c-1' });
  await Promise.resolve();
  expect(jobs.inFlight).toBe(1);
  expect(seen).toBe('c-1');
  finish('sent');
  expect(await done).toBe('sent');
  expect(jobs.inFlight).toBe(0);
});
