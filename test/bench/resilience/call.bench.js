// What a protected call costs while all is well, while it fails, and while it is refused. Goals: issue 3.
import { createRequire } from 'node:module';
import {
  bulkhead,
  circuitBreaker,
  ConsecutiveBreaker,
  ExponentialBackoff,
  handleAll,
  retry,
  timeout,
  TimeoutStrategy,
  wrap,
} from 'cockatiel';
import { goal, print, race, rowOf } from '../harness.js';
import { contexts, createManager } from './engine.js';

const Opossum = createRequire(import.meta.url)('opossum');

// Not opossum's 10 s: timers of one duration share a list in Node, and ours would make its own half as dear.
const manager = createManager({
  breaker: { timeoutMs: 9_500, totalTimeoutMs: false, retry: false, circuitBreaker: {} },
  full: { timeoutMs: 9_500, retry: { maxRetries: 2 }, circuitBreaker: {}, bulkhead: { maxConcurrent: 100 } },
  tolerant: {
    timeoutMs: 9_500,
    totalTimeoutMs: false,
    retry: false,
    circuitBreaker: { minimumCalls: 1e9, windowMs: 3_600_000 },
  },
  busy: {
    timeoutMs: 9_500,
    totalTimeoutMs: false,
    retry: false,
    circuitBreaker: { minimumCalls: 1e9, windowMs: 3_600_000 },
  },
  refused: { timeoutMs: 9_500, retry: false, circuitBreaker: {} },
});

const action = async () => 1;
const context = { correlationId: 'bench', deadlineAt: Date.now() + 3_600_000 };

const breaker = manager.policy('breaker');
const full = manager.policy('full');
const opossum = new Opossum(action);
const stack = wrap(
  retry(handleAll, { maxAttempts: 2, backoff: new ExponentialBackoff() }),
  timeout(30_000, TimeoutStrategy.Aggressive),
  circuitBreaker(handleAll, { halfOpenAfter: 5_000, breaker: new ConsecutiveBreaker(5) }),
  bulkhead(100),
);

const closed = await race([
  {
    name: 'bare await',
    run: async (calls) => {
      for (let i = 0; i < calls; i++) await action();
    },
  },
  {
    name: 'breaker + timeout',
    run: async (calls) => {
      for (let i = 0; i < calls; i++) await breaker.execute(action);
    },
  },
  {
    name: 'full pipeline in a context',
    run: (calls) =>
      contexts.run(context, async () => {
        for (let i = 0; i < calls; i++) await full.execute(action);
      }),
  },
  {
    name: 'opossum 10, default',
    run: async (calls) => {
      for (let i = 0; i < calls; i++) await opossum.fire();
    },
  },
  {
    name: 'cockatiel 4, retry + timeout + breaker + bulkhead',
    run: async (calls) => {
      for (let i = 0; i < calls; i++) await stack.execute(action);
    },
  },
]);
print('Circuit closed', closed);
const ratio = (name) => rowOf(closed, name).ratio;
goal('breaker + timeout, x bare await', ratio('breaker + timeout'), 7);
goal('breaker + timeout, x opossum', ratio('breaker + timeout') / ratio('opossum 10, default'), 0.5);
goal('full pipeline, x bare await', ratio('full pipeline in a context'), 12);
goal(
  'full pipeline, x cockatiel',
  ratio('full pipeline in a context') / ratio('cockatiel 4, retry + timeout + breaker + bulkhead'),
  0.15,
);
goal('full pipeline, allocated', rowOf(closed, 'full pipeline in a context').bytes, 2_200, ' B');
opossum.shutdown();

const error = new Error('callee down');
const fails = async () => {
  throw error;
};
const tolerant = manager.policy('tolerant');
const busy = manager.policy('busy');
for (let i = 0; i < 100_000; i++) await busy.execute(action);
manager.breaker('refused').isolate({ reason: 'bench' });
const refused = manager.policy('refused');
const forLong = { minimumCalls: 1, maxOpenMs: 3_600_000, openMs: 3_600_000 };
const opened = createManager({ alone: { retry: false, circuitBreaker: forLong }, full: { circuitBreaker: forLong } });
const [open, openFull] = [opened.policy('alone'), opened.policy('full')];
for (const policy of [open, openFull]) await policy.execute(fails).catch(() => undefined);

const failing = await race([
  {
    name: 'bare rejection',
    run: async (calls) => {
      for (let i = 0; i < calls; i++) {
        try {
          await fails();
        } catch {}
      }
    },
  },
  {
    name: 'bare rejection with a new error',
    run: async (calls) => {
      const failsAnew = async () => {
        throw new Error('callee down');
      };
      for (let i = 0; i < calls; i++) {
        try {
          await failsAnew();
        } catch {}
      }
    },
  },
  {
    name: 'failing call, empty window',
    run: async (calls) => {
      manager.breaker('tolerant').reset();
      for (let i = 0; i < calls; i++) {
        try {
          await tolerant.execute(fails);
        } catch {}
      }
    },
  },
  {
    name: 'failing call, 100,000 calls in the window',
    run: async (calls) => {
      for (let i = 0; i < calls; i++) {
        try {
          await busy.execute(fails);
        } catch {}
      }
    },
  },
  {
    name: 'refused by an open breaker',
    run: async (calls) => {
      for (let i = 0; i < calls; i++) {
        try {
          await open.execute(action);
        } catch {}
      }
    },
  },
  {
    name: 'refused by an open breaker under retry',
    run: async (calls) => {
      for (let i = 0; i < calls; i++) {
        try {
          await openFull.execute(action);
        } catch {}
      }
    },
  },
  {
    name: 'refused by an isolated breaker',
    run: async (calls) => {
      for (let i = 0; i < calls; i++) {
        try {
          await refused.execute(action);
        } catch {}
      }
    },
  },
]);
print('Failing and refused', failing);
const failRatio = (name) => rowOf(failing, name).ratio;
goal('failing call, x bare rejection', failRatio('failing call, 100,000 calls in the window'), 3);
goal(
  'failing call, 100,000 in the window against none',
  failRatio('failing call, 100,000 calls in the window') / failRatio('failing call, empty window'),
  1.3,
);
goal('refused by an open breaker, x bare rejection', failRatio('refused by an open breaker'), 2);
goal(
  'refused by an open breaker, x bare rejection with a new error',
  failRatio('refused by an open breaker') / failRatio('bare rejection with a new error'),
  2,
);
manager.dispose();
opened.dispose();
