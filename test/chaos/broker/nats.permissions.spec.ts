import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { natsIsHere, NatsServer } from './nats-server.js';
import { remoteBroker, type RemoteBroker } from './remote-broker.fixture.js';

const config = `authorization { users = [{
  user: shop, password: secret, permissions: {
    publish: { deny: ["shop.event.not-ours", "shop.request.not-ours"] }
    subscribe: { deny: ["shop.event.not-ours", "shop.request.not-ours"] }
  }
}] }`;

let server: NatsServer;
let remote: RemoteBroker;

describe.skipIf(!natsIsHere)(
  `NATS that does not permit everything${natsIsHere ? '' : ' (skipped: nats-server is not installed)'}`,
  () => {
    beforeAll(async () => {
      server = await NatsServer.start({ config });
    });
    afterAll(() => server?.stop());
    beforeEach(async () => {
      const { url: servers } = server;
      remote = await remoteBroker({
        transport: 'nats',
        servers,
        user: 'shop',
        password: 'secret',
        subjectPrefix: 'shop',
      });
    });
    afterEach(() => remote.broker.stop());

    it.each(['sent', 'confirmed'] as const)('tells the publisher at once of a message to be %s', async (guarantee) => {
      const { broker } = remote;
      const startedAt = performance.now();
      const refused = broker.publish('not-ours', 1, { guarantee });
      const taken = broker.publish('ours', 1, { guarantee });
      await expect(refused).rejects.toMatchObject({
        code: 'MESH_PUBLISH_UNCONFIRMED',
        message: expect.stringContaining('Permissions Violation') as string,
        details: { outcome: 'unsent' },
      });
      expect(performance.now() - startedAt).toBeLessThan(2_000);
      await expect(taken).resolves.toBeDefined();
    });

    it('tells at once of a request that reaches nobody, and of no other', async () => {
      const { broker } = remote;
      broker.serve('ours', () => 'answer');
      await broker.waitFor(['ours']);
      const refused = broker.request('not-ours');
      const taken = broker.request('ours');
      await expect(refused).rejects.toMatchObject({
        code: 'MESH_NO_RESPONDER',
        message: expect.stringMatching(/NATS refused it \(Permissions Violation.*not-ours/) as string,
        sent: false,
      });
      await expect(taken).resolves.toBe('answer');
    });

    it('refuses the subscription that would get nothing', async () => {
      const subscribed = remote.broker.subscribe('not-ours', () => undefined, { name: 'worker' });
      await expect(subscribed).rejects.toMatchObject({
        code: 'MESH_SUBSCRIPTION_FAILED',
        message: expect.stringContaining('does not permit to read "shop.event.not-ours"') as string,
      });
      expect(remote.broker.readHealth()[0]?.details).toMatchObject({ subscriptions: 0 });
    });

    it('tells of a handler that would get no requests', async () => {
      remote.broker.serve('not-ours', () => 1);
      const told = (): unknown[] => remote.told.map(({ event }) => event);
      await expect.poll(told).toContainEqual({
        transport: 'nats',
        what: 'requests of "not-ours"',
        error: new Error('NATS does not permit to read "shop.request.not-ours".'),
      });
    });
  },
);
