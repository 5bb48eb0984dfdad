import { setTimeout as sleep } from 'node:timers/promises';
import type { Order } from '../../../apps/gateway/src/order-book.js';
import type { StockCount } from '../../../apps/contracts/src/inventory.contract.js';
import { type BurningFleet, STOCKED } from './burning-fleet.js';
import type { Customers } from './customers.js';
import { deadLettersAt } from './dead-letters.js';
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
  /** What the faults found that must not be. */
  readonly mistakes: readonly string[];
  /** Instances that must have been measured at least twice in one life. */
  readonly mustBeMeasured: readonly string[];
  /** Epoch ms by which the fleet has to be at rest, for all that is judged. */
  readonly settleBy: number;
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

/** While customers still come: a breaker closes at their calls alone, and that of a process which is killed is forgotten. */
export async function judgeTrade(evidence: Evidence): Promise<readonly Finding[]> {
  return [await settling(evidence)(async () => breakersAreClosed(await breakersOf(evidence.fleet)))];
}

/** What processes forget that are killed once more. */
export async function judgeRunning(evidence: Evidence): Promise<readonly Finding[]> {
  const { fleet } = evidence;
  return [await settling(evidence)(async () => nothingIsDead(await deadLettersOf(fleet)))];
}

/** Everything else that must be true when the fire is out. */
export async function judge(evidence: Evidence): Promise<readonly Finding[]> {
  const { fleet, customers, balancer, memory, mistakes, mustBeMeasured } = evidence;
  const settled = settling(evidence);
  return [
    chargedOnce(fleet),
    chargedForOrdersAlone(fleet, customers),
    finding('every request is done or has a typed answer', customers.untyped),
    finding('configurations take effect, and spoiled ones none', mistakes),
    finding('every connection that broke is that of a killed instance', balancer.unexcused),
    finding(
      'no process ended by itself',
      fleet.instances.flatMap(({ crashes }) => crashes),
    ),
    await settled(() => healthIsUp(fleet)),
    memoryIsFlat(memory, { orders: customers.accepted.length, mustBeMeasured }),
  ];
}

/** Looks again until it holds, or until there is no more time for all that is looked at. */
function settling({ settleBy }: Evidence): (check: () => Promise<Finding>) => Promise<Finding> {
  return async (check) => {
    for (;;) {
      const found = await check().catch((error: Error) => finding('the fleet can be asked', [String(error.stack)]));
      if (found.holds || Date.now() > settleBy) return found;
      await sleep(250);
    }
  };
}

/** By every gateway, whatever became of those it was accepted by; under the payment that the provider has. */
async function everyAcceptedOrderIsPaid({ fleet, customers }: Evidence): Promise<Finding> {
  const wrong: string[] = [];
  for (const gateway of fleet.gateways)
    for (const id of customers.accepted) {
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
  const wanted = new Set([...accepted, ...open]);
  const wrong = [...provider.paymentsOf.keys()].filter((id) => !wanted.has(id));
  const unclear = open.filter((id) => provider.paymentsOf.has(id)).length;
  return finding(
    'nothing is charged for an order that was refused',
    wrong,
    `${refused.length} refused; of ${open.length} without a clear answer ${unclear} are placed and paid`,
  );
}

async function shelvesAgree({ fleet, customers }: Evidence): Promise<Finding> {
  const stock = (await (await fleet.gateways[0]!.get('/demo/stock')).json()) as StockCount[];
  return shelvesAgreeWith(stock, { charged: [...fleet.provider.paymentsOf.keys()], productOf: customers.productOf });
}

/** Inventory has counted each order once: it knows of all that are charged, and of reservations that nobody ordered. */
export function shelvesAgreeWith(
  stock: readonly StockCount[],
  { charged, productOf }: { readonly charged: readonly string[]; readonly productOf: ReadonlyMap<string, string> },
): Finding {
  const wrong: string[] = [];
  for (const { productId, onHand, reserved } of stock) {
    const sold = STOCKED - onHand - reserved;
    const paid = charged.filter((id) => productOf.get(id) === productId).length;
    if (sold !== paid) wrong.push(`of ${productId} ${sold} are sold, ${paid} are charged for`);
  }
  for (const productId of new Set(charged.map((id) => productOf.get(id))))
    if (!stock.some((shelf) => shelf.productId === productId))
      wrong.push(`${productId} is charged for and has no shelf`);
  return finding('what is charged for has left the shelves', wrong, `${charged.length} of ${productOf.size} wanted`);
}

interface BreakerRecord {
  readonly instance: string;
  readonly policy: string;
  readonly state: string;
}

async function breakersOf(fleet: BurningFleet): Promise<readonly BreakerRecord[]> {
  const found: BreakerRecord[] = [];
  for (const instance of fleet.instances) {
    const { breakers } = (await fleet.ask(instance, '/mesh/breakers')) as {
      breakers: Omit<BreakerRecord, 'instance'>[];
    };
    found.push(...breakers.map(({ policy, state }) => ({ instance: instance.name, policy, state })));
  }
  return found;
}

export function breakersAreClosed(breakers: readonly BreakerRecord[]): Finding {
  const wrong = breakers
    .filter(({ state }) => state !== 'closed')
    .map(({ instance, policy, state }) => `${instance}: ${policy} is ${state}`);
  if (breakers.length === 0) wrong.push('no breaker was found');
  return finding('every breaker is closed', wrong, `${breakers.length} breakers`);
}

async function healthIsUp(fleet: BurningFleet): Promise<Finding> {
  const wrong: string[] = [];
  for (const instance of fleet.instances) {
    const { status, ...rest } = await fleet.ask(instance, '/health/ready');
    if (status !== 'ok') wrong.push(`${instance.name} is ${String(status)}: ${JSON.stringify(rest['error'] ?? rest)}`);
  }
  return finding('health is up', wrong, `${fleet.instances.length} instances`);
}

/** Those that the server keeps, also of processes that are gone, and those in the memory of the ones that run. */
async function deadLettersOf(fleet: BurningFleet): Promise<ReadonlyMap<string, number>> {
  const found = new Map(await deadLettersAt(fleet.nats.url));
  for (const instance of fleet.instances) {
    const page = await (await instance.get('/metrics')).text();
    for (const [, labels, value] of page.matchAll(
      /^mesh_messages_total(\{[^}]*outcome="dead-lettered"[^}]*\}) (\S+)/gm,
    ))
      found.set(`${instance.name} ${labels}`, Number(value));
  }
  return found;
}

export function nothingIsDead(letters: ReadonlyMap<string, number>): Finding {
  const wrong = [...letters].filter(([, count]) => count > 0).map(([where, count]) => `${count} of ${where}`);
  return finding('no message was given up', wrong, 'kept by NATS, or counted by a process that runs');
}

export function memoryIsFlat(
  { lives, failures }: Pick<MemoryWatch, 'lives' | 'failures'>,
  { orders, mustBeMeasured }: { readonly orders: number; readonly mustBeMeasured: readonly string[] },
): Finding {
  const limit = HEAP_MAY_GROW_BYTES + orders * BYTES_AN_ORDER;
  const wrong = [...failures];
  const shown: string[] = [];
  for (const [life, measured] of lives) {
    const [first, last] = [measured[0]!, measured.at(-1)!];
    if (measured.length < 2) continue;
    const grown = last.heapBytes - first.heapBytes;
    const text = `${life} ${mega(first.heapBytes)} -> ${mega(last.heapBytes)} MB in ${Math.round((last.atMs - first.atMs) / 1_000)} s`;
    shown.push(text);
    if (grown > limit) wrong.push(text);
  }
  for (const name of mustBeMeasured)
    if (!shown.some((text) => text.startsWith(`${name} `))) wrong.push(`${name} was not measured twice`);
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
