import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { NatsServer } from './broker/nats-server.js';
import { RedisServer } from './cache/redis-server.js';
import { type Answer, FleetProcess } from './fleet.fixture.js';
import { canRun, whyNot } from './fleet.servers.js';

const CUSTOMERS = 8;
/** More in the long form: MESH_CHAOS_KILLS=10. */
const KILLS = Number(process.env['MESH_CHAOS_KILLS'] ?? 2);
const PRODUCTS = ['espresso', 'grinder', 'kettle'];
/** What inventory begins with, of each product. */
const ON_HAND = 1_000;

interface Placed {
  readonly id: string;
  readonly productId: string;
  readonly amountCents: number;
  readonly status: string;
}

describe.skipIf(!canRun)(`the demo as a fleet${whyNot}`, () => {
  let nats: NatsServer;
  let redis: RedisServer;
  let fleet: FleetProcess;

  const environment = () => ({
    NATS_URL: nats.url,
    REDIS_URL: redis.url,
    // What was handed over when the server died is due again after this time.
    MESH_BROKER__JETSTREAM__ACK_WAIT_MS: '2000',
  });

  beforeAll(async () => {
    [nats, redis] = await Promise.all([NatsServer.start(), RedisServer.start()]);
  }, 20_000);
  afterEach(() => fleet?.stop());
  afterAll(async () => {
    await Promise.all([nats?.stop(), redis?.kill()]);
  });

  it(
    'loses no order and charges none twice while NATS is killed and started again under load',
    { timeout: 120_000 + KILLS * 3_000 },
    async () => {
      fleet = await FleetProcess.launch(environment());
      await fleet.ready();
      const { accepted, refused } = await orderWhile(fleet, async () => {
        for (let kill = 0; kill < KILLS; kill++) {
          await sleep(800 + Math.random() * 400);
          await nats.kill();
          await sleep(500 + Math.random() * 500);
          await nats.start();
        }
        await sleep(2_000);
      });

      // The load met the faults, and every refusal says what it is.
      expect(accepted.length).toBeGreaterThan(30);
      expect(refused.length).toBeGreaterThan(0);
      for (const { status, body } of refused)
        expect({ status, ...body }).toMatchObject({
          status: expect.toSatisfy((code: number) => code === 503 || code === 504),
          code: expect.stringMatching(/^MESH_/),
        });

      // Every accepted order is known and paid, and each has its own payment.
      const payments = new Map<string, unknown>();
      const unpaid = async (): Promise<number> => {
        for (const { id } of accepted.filter((order) => !payments.has(order.id))) {
          const { status, body } = await fleet.call('GET', `/orders/${id}`);
          expect(status).toBe(200);
          if (body['status'] === 'paid') payments.set(id, body['paymentId']);
        }
        return accepted.length - payments.size;
      };
      await expect.poll(unpaid, { timeout: 30_000, interval: 200 }).toBe(0);
      expect(new Set(payments.values()).size).toBe(accepted.length);

      // The money taken is that of the orders: nothing twice, and nothing beside them.
      expect((await fleet.call('GET', '/demo/account')).body).toEqual({
        charges: accepted.length,
        amountCents: accepted.reduce((sum, { amountCents }) => sum + amountCents, 0),
      });

      // Each customer is told once, and what is sold has left the shelves: no reservation stays behind.
      const receipts = () => [...fleet.output.matchAll(/Receipt for order ([\w-]+)/g)].map(([, id]) => id).sort();
      // One that another delivery was busy with comes again after up to 30 s.
      await expect.poll(receipts, { timeout: 45_000, interval: 200 }).toEqual(accepted.map(({ id }) => id).sort());
      const sold = (productId: string) => accepted.filter((order) => order.productId === productId).length;
      const stock = async () => (await fleet.call('GET', '/demo/stock')).body;
      await expect
        .poll(stock, { timeout: 10_000, interval: 200 })
        .toEqual(PRODUCTS.map((productId) => ({ productId, onHand: ON_HAND - sold(productId), reserved: 0 })));

      expect(await fleet.stop()).toBe(0);
      console.log(
        `${accepted.length} orders accepted over ${KILLS} kills, paid later:`,
        accepted.filter(({ status }) => status !== 'paid').length,
        'refused:',
        countBy(refused, ({ body }) => String(body['code'])),
      );
    },
  );

  it(
    'ends as a whole when one of its applications is killed, and has kept the orders',
    { timeout: 60_000 },
    async () => {
      fleet = await FleetProcess.launch(environment());
      await fleet.ready();
      const order = await fleet.call('POST', '/orders', { productId: 'kettle', quantity: 1 });
      expect(order.status).toBe(201);
      process.kill(fleet.processIdOf('gateway'), 'SIGKILL');
      expect(await fleet.end()).toBe(1);
      expect(fleet.output).toContain('gateway ended by itself (SIGKILL)');
      await expect(fleet.call('GET', '/health/live')).rejects.toThrow();

      fleet = await FleetProcess.launch(environment());
      await fleet.ready();
      const kept = () => fleet.call('GET', `/orders/${String(order.body['id'])}`);
      await expect.poll(kept, { timeout: 5_000 }).toEqual({ status: 200, body: order.body });
    },
  );

  it('says which servers to start when they are not there', { timeout: 10_000 }, async () => {
    fleet = await FleetProcess.launch({ NATS_URL: redis.url, REDIS_URL: 'redis://127.0.0.1:1' });
    expect(await fleet.end()).toBe(1);
    expect(fleet.output).toContain('nats-server -js');
    expect(fleet.output).toContain('Redis at 127.0.0.1:1 does not answer');
  });
});

/** Customers order one thing after the other until `faults` are over, each until it is accepted. */
async function orderWhile(
  fleet: FleetProcess,
  faults: () => Promise<void>,
): Promise<{ readonly accepted: readonly Placed[]; readonly refused: readonly Answer[] }> {
  const accepted: Placed[] = [];
  const refused: Answer[] = [];
  let open = true;
  const customer = async (_: unknown, number: number): Promise<void> => {
    for (let n = number; open; n++) {
      const order = { productId: PRODUCTS[n % PRODUCTS.length], quantity: 1 };
      const key = { 'idempotency-key': `${number}-${n}` };
      let answer = await fleet.call('POST', '/orders', order, key);
      for (; answer.status >= 500; answer = await fleet.call('POST', '/orders', order, key)) {
        refused.push(answer);
        await sleep(200);
      }
      accepted.push(answer.body as unknown as Placed);
      await sleep(20 + Math.random() * 20);
    }
  };
  const customers = Promise.all(Array.from({ length: CUSTOMERS }, customer));
  await faults().finally(() => (open = false));
  await customers;
  return { accepted, refused };
}

function countBy<T>(values: readonly T[], keyOf: (value: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[keyOf(value)] = (counts[keyOf(value)] ?? 0) + 1;
  return counts;
}
