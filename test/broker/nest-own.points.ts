import type { NestServerUnderTest } from './nest-servers.fixture.js';
import { delay, type Pair, REQUEST_TIMEOUT_MS } from './nest-points.fixture.js';

/** Whether it holds; `undefined` where the question makes no sense. */
export type Point = (pair: Pair, server: NestServerUnderTest) => Promise<boolean | undefined>;

/** Long for a call on this machine, and shorter than the mesh's timeout. */
const AT_ONCE_MS = REQUEST_TIMEOUT_MS - 1_500;

type Settled = { readonly value: unknown } | { readonly error: unknown } | 'late';

function within(ms: number, work: Promise<unknown>): Promise<Settled> {
  const settled = work.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  return Promise.race([settled, delay(ms)]);
}

async function eventually(isSo: () => boolean | Promise<boolean>, ms: number): Promise<boolean> {
  for (const giveUpAt = Date.now() + ms; Date.now() < giveUpAt; await delay(20)) if (await isSo()) return true;
  return false;
}

const isValue = (settled: Settled, value: unknown): boolean =>
  typeof settled === 'object' && 'value' in settled && settled.value === value;
const isError = (settled: Settled): settled is { readonly error: unknown } =>
  typeof settled === 'object' && 'error' in settled;

/** Asked of one pair, one after the other. */
export const peaceful: Readonly<Record<string, Point>> = {
  'answers several callers at once, again and again': async ({ ask }) => {
    const caller = async (): Promise<boolean> => {
      for (let n = 0; n < 20; n++) if (!isValue(await within(AT_ONCE_MS, ask('echo', n)), n)) return false;
      return true;
    };
    return (await Promise.all([caller(), caller(), caller(), caller()])).every(Boolean);
  },

  'nothing is a value, as a payload and as an answer': async ({ ask }) =>
    isValue(await within(AT_ONCE_MS, ask('echo')), undefined),

  'brings headers to the handler': async ({ ask }) =>
    isValue(await within(AT_ONCE_MS, ask('tenant', 1, { tenant: 'a' })), 'a'),

  'an error arrives with the status or code that it had': async ({ ask }) => {
    const settled = await within(AT_ONCE_MS, ask('fails', 1));
    return isError(settled) && /400/.test(JSON.stringify(settled.error));
  },

  'ends a request whose handler hangs': async ({ ask }) =>
    isError(await within(REQUEST_TIMEOUT_MS + 300, ask('hangs', 1))),

  'fails at once when nobody serves the pattern': async ({ ask }) =>
    isError(await within(AT_ONCE_MS, ask('nobody', 1))),

  'delivers an event again whose handler failed': async ({ tell, seen }) => {
    await tell('flaky', 1);
    return eventually(() => seen.attempts.length === 2, 1_000);
  },
};

/** Each asked of a pair of its own. */
export const violent: Readonly<Record<string, Point>> = {
  'rejects what waits when the connection breaks': async ({ ask }, server) => {
    const pending = ask('hangs', 1);
    pending.catch(() => undefined);
    await delay(50);
    await server.kill();
    return isError(await within(AT_ONCE_MS, pending));
  },

  'never says "sent" of an event that is lost': async ({ tell, seen }, server) => {
    await tell('told', 'before');
    server.hang();
    const told = within(AT_ONCE_MS, tell('told', 'lost?'));
    const isSent = !isError(await told) && (await told) !== 'late';
    await server.kill();
    await server.start();
    return !isSent || eventually(() => seen.events.includes('lost?'), 1_000);
  },

  'is there again when the connection was away': async ({ ask, tell, seen }, server) => {
    await server.kill();
    await delay(50);
    await server.start();
    const isAnswered = await eventually(async () => isValue(await within(300, ask('echo', 1)), 1), 3_000);
    if (!isAnswered) return false;
    await tell('told', 'again').catch(() => undefined);
    return eventually(() => seen.events.includes('again'), 500);
  },

  'answers its callers before it closes': async ({ app, ask, seen }) => {
    const answer = within(REQUEST_TIMEOUT_MS, ask('slow', 1));
    await seen.slowStarted.promise;
    const closed = await within(200, app.close());
    // Released only if it waits: otherwise the answer would meet a connection that is gone.
    if (closed !== 'late') return false;
    seen.gate.resolve('finished');
    return isValue(await answer, 'finished');
  },
};

/** Of transports that several instances can share. */
export const shared: Readonly<Record<string, Point>> = {
  'shares events among the instances of a service': async ({ another, tell, seen }) => {
    const other = await another();
    // Nest's server may be up before its subscriptions are.
    const joined = async (): Promise<boolean> => {
      await tell('told', 'are you there?');
      return other.seen.events.length > 0;
    };
    if (!(await eventually(joined, 2_000))) return false;
    await delay(100);
    for (const { events } of [seen, other.seen]) events.length = 0;
    for (let n = 0; n < 10; n++) await tell('told', n);
    const count = (): number => seen.events.length + other.seen.events.length;
    if (!(await eventually(() => count() >= 10, 2_000))) return false;
    return !(await eventually(() => count() > 10, 500));
  },
};
