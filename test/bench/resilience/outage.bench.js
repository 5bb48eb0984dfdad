// A real-time outage at 3,000 calls a second: what it costs, how the loop fares, and when the breaker opens.
// Phase 1: all is well. Phase 2: a breaker that may not open sees nothing but failures. Phase 3: one that may.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { goal } from '../harness.js';
import { createManager } from './engine.js';

const PER_SECOND = 3_000;
const PHASE_MS = Number(process.env.BENCH_PHASE_MS ?? 10_000);
const WINDOW_MS = 10_000;

const circuitBreaker = { windowMs: WINDOW_MS, failureRatio: 0.5 };
const manager = createManager({
  stubborn: { retry: false, circuitBreaker: { ...circuitBreaker, minimumCalls: 1e9 } },
  normal: { retry: false, circuitBreaker: { ...circuitBreaker, openMs: 60_000 } },
});

async function drive(policies, work, phaseMs, done = () => false) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const before = process.cpuUsage();
  const from = performance.now();
  delay.enable();
  let sent = 0;
  while (performance.now() - from < phaseMs && !done()) {
    const due = ((performance.now() - from) * PER_SECOND) / 1_000;
    for (; sent < due; sent++) for (const policy of policies) policy.execute(work).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await turn();
  delay.disable();
  const elapsed = performance.now() - from;
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / 10 / elapsed, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6, elapsed };
}

const succeeds = async () => 1;
const fails = async () => {
  throw new Error('callee down');
};
const stubborn = manager.policy('stubborn');
const normal = manager.policy('normal');

await drive([stubborn], succeeds, 1_000);
await drive([stubborn], fails, 1_000);
const well = await drive([stubborn], succeeds, PHASE_MS);
const outage = await drive([stubborn], fails, PHASE_MS);
const line = (name, { cpu, p99, max }) =>
  console.log(
    `  ${name.padEnd(20)} CPU ${cpu.toFixed(1)} %, loop delay p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms`,
  );
console.log(`\nOutage at ${PER_SECOND} calls/s`);
line('all is well', well);
line('all calls fail', outage);

// With the whole window full of successes, half of it must be failures: the right moment is half a window later.
await drive([normal], succeeds, WINDOW_MS + 1_000);
const opening = await drive([normal], fails, 2 * WINDOW_MS, () => normal.breakerFor(undefined, 0).state !== 'closed');
goal('CPU while failing, x CPU before', outage.cpu / well.cpu, 2);
goal('loop delay p99 while failing', outage.p99, 5, ' ms');
console.log(`  opened after ${opening.elapsed.toFixed(0)} ms; ideal ${WINDOW_MS / 2} ms`);
goal('opening, off the right moment', Math.abs(opening.elapsed / (WINDOW_MS / 2) - 1), 0.1);
manager.dispose();
