// Races requests over a server. Wall time, because most of it is waiting. The contenders take turns, in rotating order,
// and a ratio is taken inside each round: a busy machine is busy for all.
import { median, print } from '../harness.js';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 15);

async function run(call, calls, width) {
  let left = calls;
  const caller = async () => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: width }, caller));
}

/** `contenders` is { name: call }. Returns `ratio(name, of)`, of the times that a request took with `width` on their way. */
export async function raceRequests(title, contenders, { calls, width }) {
  const names = Object.keys(contenders);
  const micros = Object.fromEntries(names.map((name) => [name, []]));
  for (const name of names) await run(contenders[name], calls, width);
  for (let round = 0; round < ROUNDS; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(round + turn) % names.length];
      globalThis.gc?.();
      const from = performance.now();
      await run(contenders[name], calls, width);
      micros[name].push(((performance.now() - from) * 1_000) / calls);
    }
  }
  const ratio = (name, of) => median(micros[name].map((us, round) => us / micros[of][round]));
  print(
    title,
    names.map((name) => ({ name, ns: median(micros[name]) * 1_000, ratio: ratio(name, names[0]) })),
  );
  return ratio;
}
