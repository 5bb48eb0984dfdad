import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { natsIsHere, NatsServer } from './nats-server.js';
import { remoteBroker, type RemoteBroker } from './remote-broker.fixture.js';

const OWN = { group: false, guarantee: 'atLeastOnce', name: 'book' } as const;

let server: NatsServer;
const brokers: RemoteBroker[] = [];

async function instance(): Promise<RemoteBroker['broker']> {
  const remote = await remoteBroker({ transport: 'nats', servers: server.url });
  brokers.push(remote);
  return remote.broker;
}

describe.skipIf(!natsIsHere)(`replay over NATS${natsIsHere ? '' : ' (skipped: nats-server is not installed)'}`, () => {
  beforeAll(async () => {
    server = await NatsServer.start();
  });
  afterEach(async () => {
    await Promise.all(brokers.splice(0).map(({ broker }) => broker.stop()));
  });
  afterAll(() => server?.stop());

  it('gives each instance all that is stored, in its order, and then what comes', async () => {
    const publisher = await instance();
    for (const n of [1, 2, 3]) await publisher.publish('log', n, { guarantee: 'confirmed' });
    const books: number[][] = [[], [], []];
    for (const book of books.slice(0, 2))
      await (await instance()).subscribe<number>('log', (n) => void book.push(n), { ...OWN, replay: true });
    const latest = books[2]!;
    await (await instance()).subscribe<number>('log', (n) => void latest.push(n), OWN);
    await publisher.publish('log', 4, { guarantee: 'confirmed' });
    await expect.poll(() => books, { timeout: 5_000 }).toEqual([[1, 2, 3, 4], [1, 2, 3, 4], [4]]);
  });
});
