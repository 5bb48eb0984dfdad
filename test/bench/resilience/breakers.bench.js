// Ten thousand breakers in one process: heap, time to create and to close, timers, and what they cost when idle.
import { setTimeout as sleep } from 'node:timers/promises';
import { goal } from '../harness.js';
import { createManager, pendingTimers } from './engine.js';

const COUNT = 10_000;
const CALLS = 20;
const IDLE_MS = Number(process.env.BENCH_IDLE_MS ?? 5_000);
const action = async () => 1;
const failing = async () => {
  throw new Error('callee down');
};

// Typed arrays are outside the heap and cost as much.
const heap = () => {
  for (let i = 0; i < 3; i++) globalThis.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

async function idleCpu() {
  const before = process.cpuUsage();
  await sleep(IDLE_MS);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 10 / IDLE_MS;
}

async function measure(title, create) {
  const before = heap();
  const from = performance.now();
  const { manager, policies, optionsOf } = create();
  const createdMs = performance.now() - from;
  for (let call = 0; call < CALLS; call++)
    for (let i = 0; i < COUNT; i++) await policies[i].execute(action, optionsOf?.(i));
  const healthy = (heap() - before) / COUNT;
  const cpu = await idleCpu();
  const timersNow = pendingTimers();
  for (let i = 0; i < COUNT; i++) await policies[i].execute(failing, optionsOf?.(i)).catch(() => undefined);
  const failed = (heap() - before) / COUNT;
  const closing = performance.now();
  manager.dispose();
  const closedMs = performance.now() - closing;
  console.log(
    `\n${title}\n  heap ${healthy.toFixed(0)} B each, ${failed.toFixed(0)} B after a failure; created in ${createdMs.toFixed(0)} ms, closed in ${closedMs.toFixed(1)} ms; idle CPU ${cpu.toFixed(2)} %; timers ${timersNow}`,
  );
  goal(`${title}: heap while it never failed`, healthy, 1_024, ' B');
  goal(`${title}: heap after a failure`, failed, 3_072, ' B');
  goal(`${title}: created in`, createdMs, 150, ' ms');
  goal(`${title}: closed in`, closedMs, 50, ' ms');
  goal(`${title}: timers of all together`, timersNow, 1);
  return cpu;
}

const options = { retry: false, circuitBreaker: {} };
const warm = createManager({ 'p*': options });
for (let i = 0; i < 2_000; i++)
  await warm
    .policy(`p${i % 50}`)
    .execute(i % 2 ? action : failing)
    .catch(() => undefined);
warm.dispose();
const empty = await idleCpu();

const busy = [
  await measure('10,000 keyed breakers of one policy', () => {
    const manager = createManager({ p: { ...options, circuitBreaker: { maxKeys: COUNT } } });
    const policy = manager.policy('p');
    const policies = Array.from({ length: COUNT }, () => policy);
    for (let i = 0; i < COUNT; i++) manager.breaker('p', `tenant-${i}`);
    return { manager, policies, optionsOf: (i) => ({ key: `tenant-${i}` }) };
  }),
  await measure('10,000 policies with a breaker each, with metrics', () => {
    const manager = createManager({ 'p*': options }, { maxSeriesPerMetric: 100_000 });
    const policies = Array.from({ length: COUNT }, (_, i) => manager.policy(`p${i}`));
    return { manager, policies };
  }),
];
goal('idle CPU above an empty process', Math.max(...busy) - empty, 0.5, ' points');
