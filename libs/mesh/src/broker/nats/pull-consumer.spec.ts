import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../testing/virtual-clock.js';
import { PullConsumer } from './pull-consumer.js';

class StoredMessage {
  renewals = 0;
  readonly info = { pending: 7 };
  working(): void {
    this.renewals++;
  }
}

/** A pull whose messages the test hands over. */
class ScriptedPull {
  readonly #waiting: PromiseWithResolvers<IteratorResult<StoredMessage>>[] = [];
  stopped = false;

  constructor(readonly size: number) {}

  hand(message: StoredMessage): void {
    this.#waiting.shift()!.resolve({ done: false, value: message });
  }

  end(): void {
    this.#waiting.shift()!.resolve({ done: true, value: undefined });
  }

  fail(error: Error): void {
    this.#waiting.shift()!.reject(error);
  }

  stop(): void {
    this.stopped = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): AsyncIterator<StoredMessage> {
    return {
      next: () => {
        const next = Promise.withResolvers<IteratorResult<StoredMessage>>();
        this.#waiting.push(next);
        return next.promise;
      },
    };
  }
}

function fixture(concurrency: number) {
  const clock = new VirtualClock();
  const pulls: ScriptedPull[] = [];
  const got: StoredMessage[] = [];
  const failures: unknown[] = [];
  const server = { refuse: undefined as Error | undefined, waiting: 0 };
  const fetch = async ({ max_messages }: { max_messages: number }): Promise<ScriptedPull> => {
    if (server.refuse) throw server.refuse;
    const pull = new ScriptedPull(max_messages);
    pulls.push(pull);
    return pull;
  };
  const info = async (): Promise<{ num_pending: number }> => ({ num_pending: server.waiting });
  const consumer = new PullConsumer<StoredMessage>(async () => ({ fetch, info }), {
    clock,
    concurrency,
    renewMs: 100,
    onMessage: (message) => void got.push(message),
    onFailure: (error) => void failures.push(error),
  });
  return { consumer, clock, pulls, got, failures, server };
}

describe('a pull consumer', () => {
  it('asks for no more than it has room for', async () => {
    const { consumer, clock, pulls, got } = fixture(2);
    await consumer.start();
    await clock.advance(0);
    expect(pulls.map(({ size }) => size)).toEqual([2]);
    pulls[0]!.hand(new StoredMessage());
    await clock.advance(0);
    pulls[0]!.hand(new StoredMessage());
    await clock.advance(0);
    pulls[0]!.end();
    await clock.advance(0);
    expect(pulls).toHaveLength(1);
    consumer.onSettled(got[0]!);
    await clock.advance(0);
    expect(pulls.map(({ size }) => size)).toEqual([2, 1]);
    expect(consumer.lag).toBe(7);
    await consumer.stop();
  });

  it('renews what is being worked on, until it is settled', async () => {
    const { consumer, clock, pulls, got } = fixture(1);
    await consumer.start();
    await clock.advance(0);
    pulls[0]!.hand(new StoredMessage());
    await clock.advance(250);
    expect(got[0]!.renewals).toBe(2);
    consumer.onSettled(got[0]!);
    await consumer.stop();
    await clock.advance(1_000);
    expect(got[0]!.renewals).toBe(2);
    expect(clock.pendingTimers).toBe(0);
  });

  it('rests while the server is away, and asks anew when it is back', async () => {
    const { consumer, clock, pulls } = fixture(2);
    await consumer.start();
    await clock.advance(0);
    consumer.suspend();
    await clock.advance(1_000);
    expect(pulls.map(({ stopped }) => stopped)).toEqual([true]);
    consumer.resume();
    await clock.advance(0);
    expect(pulls.map(({ size }) => size)).toEqual([2, 2]);
    await consumer.stop();
  });

  it('asks now and then how many messages wait, for nobody tells a stuck one', async () => {
    const { consumer, clock, server } = fixture(1);
    await consumer.start();
    server.waiting = 40;
    await clock.advance(5_000);
    expect(consumer.lag).toBe(40);
    server.waiting = 3;
    await clock.advance(5_000);
    expect(consumer.lag).toBe(3);
    await consumer.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it('goes on after a failed pull', async () => {
    const { consumer, clock, pulls, failures, server } = fixture(1);
    server.refuse = new Error('no responders');
    await consumer.start();
    await clock.advance(0);
    expect(failures).toHaveLength(1);
    server.refuse = undefined;
    await clock.advance(250);
    expect(pulls).toHaveLength(1);
    await consumer.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it('asks for all that it has room for after several pulls failed together', async () => {
    const { consumer, clock, pulls, got } = fixture(5);
    await consumer.start();
    await clock.advance(0);
    for (const pull of [0, 0, 0]) {
      pulls[pull]!.hand(new StoredMessage());
      await clock.advance(0);
    }
    for (const message of got) consumer.onSettled(message);
    await clock.advance(0);
    expect(pulls.map(({ size }) => size)).toEqual([5, 3]);
    // As when the consumer is deleted on the server, which ends all its pulls.
    for (const pull of pulls.splice(0)) pull.fail(new Error('409 consumer deleted'));
    await clock.advance(250);
    expect(pulls.map(({ size }) => size)).toEqual([5]);
    await consumer.stop();
  });
});
