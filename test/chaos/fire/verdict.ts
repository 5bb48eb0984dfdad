import { setTimeout as sleep } from 'node:timers/promises';
import type { Order } from '../../../apps/gateway/src/order-book.js';
import { type BurningFleet, STOCKED } from './burning-fleet.js';
import type { Customers } from './customers.js';
import type { LoadBalancer } from './load-balancer.js';
import type { MemoryWatch } from './memory-watch.js';

export interface Finding {
  readonly invariant: string;
  readonly holds: boolean;
  readonly detail: string;
}

interface Evidence {
  readonly fleet: BurningFleet;
  readonly customers: Customers;
  readonly balancer: LoadBalancer;
  readonly memory: MemoryWatch;
  /** How long the fleet may take to come to rest. */
  readonly settleWithinMs: number;
}

/** What an order in memory may weigh: the demo keeps them all. */
const BYTES_AN_ORDER = 2_000;
const HEAP_MAY_GROW_BYTES = 8_000_000;
const SHOWN = 5;

/** What the log says of orders and goods, according to those who read it. */
export async function judgeLog(evidence: Evidence, by: string): Promise<readonly Finding[]> {
  const settled = settling(evidence);
  const findings = [
    await settled(() => everyAcceptedOrderIsPaid(evidence)),
    await settled(() => shelvesAgree(evidence)),
  ];
  return findings.map((found) => ({ ...found, invariant: `${found.invariant}, ${by}` }));
}

/** Everything else that must be true when the fire is out. */
export async function judge(evidence: Evidence): Promise<readonly Finding[]> {
  const { fleet, customers, balancer, memory } = evidence;
  const settled = settling(evidence);
  return [
    chargedOnce(fleet),
    chargedForOrdersAlone(fleet, customers),
    finding('every failed request has a typed answer', customers.untyped),
    finding('every connection that broke is that of a killed instance', balancer.unexcused),
    finding(
      'no process ended by itself',
      fleet.instances.flatMap(({ crashes }) => crashes),
    ),
    await settled(() => breakersAreClosed(fleet)),
    await settled(() => healthIsUp(fleet)),
    await settled(() => nothingIsDead(fleet)),
    memoryIsFlat(memory, customers.accepted.length),
  ];
}

/** Looks again until it holds, or until there is no more time for all that is looked at. */
function settling({ settleWithinMs }: Evidence): (check: () => Promise<Finding>) => Promise<Finding> {
  const giveUpAt = Date.now() + settleWithinMs;
  return async (check) => {
    for (;;) {
      const found = await check().catch((error: Error) => finding('the fleet can be asked', [String(error.stack)]));
      if (found.holds || Date.now() > giveUpAt) return found;
      await sleep(250);
    }
  };
}

/** By every gateway, whatever became of those it was accepted by; under the payment that the provider has. */
async function everyAcceptedOrderIsPaid({ fleet, customers }: Evidence): Promise<Finding> {
  const wrong: string[] = [];
  for (const gateway of fleet.gateways)
    for (const { id } of customers.accepted) {
      const answer = await gateway.get(`/orders/${id}`);
      const order = (await answer.json()) as Order;
      const payments = fleet.provider.paymentsOf.get(id) ?? [];
      if (answer.status !== 200) wrong.push(`${id} is lost: ${gateway.name} answers ${answer.status}`);
      else if (order.status !== 'paid') wrong.push(`${id} is ${order.status} at ${gateway.name}`);
      else if (!payments.includes(order.paymentId!)) wrong.push(`${id} has a payment that the provider does not know`);
      if (wrong.length > SHOWN) break;
    }
  return finding('no accepted order is lost, and each is paid', wrong, `${customers.accepted.length} orders`);
}

function chargedOnce({ provider }: BurningFleet): Finding {
  const twice = [...provider.paymentsOf].filter(([, payments]) => payments.length > 1);
  return finding(
    'no order is charged twice',
    twice.map(([id, payments]) => `${id} is charged ${payments.length} times`),
    `${provider.paymentsOf.size} charges, ${provider.requests} requests for them`,
  );
}

function chargedForOrdersAlone({ provider }: BurningFleet, { accepted, open, refused }: Customers): Finding {
  const wanted = new Set([...accepted.map(({ id }) => id), ...open]);
  const wrong = [...provider.paymentsOf.keys()].filter((id) => !wanted.has(id));
  const unclear = open.filter((id) => provider.paymentsOf.has(id)).length;
  return finding(
    'nothing is charged for an order that was refused',
    wrong,
    `${refused.length} refused; of ${open.length} without a clear answer ${unclear} are placed and paid`,
  );
}

/** Inventory has counted each order once: it knows of all that are charged, and of reservations that nobody ordered. */
async function shelvesAgree({ fleet, customers }: Evidence): Promise<Finding> {
  const stock = (await (await fleet.gateways[0]!.get('/demo/stock')).json()) as { onHand: number; reserved: number }[];
  const left = stock.reduce((sum, { onHand, reserved }) => sum + onHand + reserved, 0);
  const sold = stock.length * STOCKED - left;
  const paid = fleet.provider.paymentsOf.size;
  const wrong = sold === paid ? [] : [`${sold} are sold, ${paid} are charged for`];
  return finding('what is charged for has left the shelves', wrong, `${sold} sold of ${customers.orders} wanted`);
}

async function breakersAreClosed(fleet: BurningFleet): Promise<Finding> {
  const wrong: string[] = [];
  let count = 0;
  for (const instance of fleet.instances) {
    const { breakers } = (await fleet.ask(instance, '/mesh/breakers')) as {
      breakers: { policy: string; state: string }[];
    };
    count += breakers.length;
    for (const { policy, state } of breakers)
      if (state !== 'closed') wrong.push(`${instance.name}: ${policy} is ${state}`);
  }
  return finding('every breaker is closed', wrong, `${count} breakers`);
}

async function healthIsUp(fleet: BurningFleet): Promise<Finding> {
  const wrong: string[] = [];
  for (const instance of fleet.instances) {
    const { status, ...rest } = await fleet.ask(instance, '/health/ready');
    if (status !== 'ok') wrong.push(`${instance.name} is ${String(status)}: ${JSON.stringify(rest['error'] ?? rest)}`);
  }
  return finding('health is up', wrong, `${fleet.instances.length} instances`);
}

async function nothingIsDead(fleet: BurningFleet): Promise<Finding> {
  const wrong: string[] = [];
  for (const instance of fleet.instances) {
    const page = await (await instance.get('/metrics')).text();
    for (const [, labels, value] of page.matchAll(
      /^mesh_messages_total(\{[^}]*outcome="dead-lettered"[^}]*\}) (\S+)/gm,
    ))
      if (Number(value) > 0) wrong.push(`${instance.name}: ${value} of ${labels}`);
  }
  return finding('no message was given up', wrong, 'since each process began');
}

function memoryIsFlat({ lives }: MemoryWatch, orders: number): Finding {
  const limit = HEAP_MAY_GROW_BYTES + orders * BYTES_AN_ORDER;
  const wrong: string[] = [];
  const shown: string[] = [];
  for (const [life, measured] of lives) {
    const [first, last] = [measured[0]!, measured.at(-1)!];
    if (measured.length < 2) continue;
    const grown = last.heapBytes - first.heapBytes;
    const text = `${life} ${mega(first.heapBytes)} -> ${mega(last.heapBytes)} MB in ${Math.round((last.atMs - first.atMs) / 1_000)} s`;
    shown.push(text);
    if (grown > limit) wrong.push(text);
  }
  return finding('memory is flat', wrong, shown.join(', ') || 'no process lived long enough to tell');
}

function finding(invariant: string, wrong: readonly string[], otherwise = ''): Finding {
  const more = wrong.length > SHOWN ? `; and ${wrong.length - SHOWN} more` : '';
  return {
    invariant,
    holds: wrong.length === 0,
    detail: wrong.length === 0 ? otherwise : wrong.slice(0, SHOWN).join('; ') + more,
  };
}

function mega(bytes: number): string {
  return (bytes / 1_000_000).toFixed(1);
}
