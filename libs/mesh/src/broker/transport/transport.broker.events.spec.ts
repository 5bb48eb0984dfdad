import { describe, expect, it } from 'vitest';
import type { Message } from '../../core/broker.port.js';
import { watch } from '../../../../../test/broker/broker.fixture.js';
import { transportFixture } from '../../../../../test/broker/scripted-driver.fixture.js';

const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe('publishing over a transport', () => {
  it('resolves after the server has answered, not before', async () => {
    const { broker, driver } = await transportFixture();
    const published = watch(broker.publish('n', 1, { guarantee: 'confirmed' }));
    await settled();
    expect(published.state).toBe('pending');
    driver.published[0]!.answer.resolve();
    await settled();
    expect(published.state).toBe('resolved');
  });

  it('keeps messages while the server is away and sends them in order when it is back', async () => {
    const { broker, driver } = await transportFixture();
    driver.host.onDisconnected('killed');
    const waiting = [1, 2, 3].map((n) => watch(broker.publish('n', n)));
    await settled();
    expect(driver.published).toEqual([]);
    driver.host.onConnected();
    await settled();
    expect(driver.published.map(({ message }) => String(message.body.data))).toEqual(['1', '2', '3']);
    for (const { answer } of driver.published) answer.resolve();
    await settled();
    expect(waiting.map(({ state }) => state)).toEqual(['resolved', 'resolved', 'resolved']);
  });

  it('opens its subscriptions before it sends what waited: it may be for them', async () => {
    const { broker, driver } = await transportFixture({ required: false }, { startsAway: 'nobody answers' });
    const opened = Promise.withResolvers<void>();
    driver.intakesWait = opened.promise;
    await broker.subscribe('n', () => 1);
    void watch(broker.publish('n', 1));
    await settled();
    driver.host.onConnected();
    await settled();
    expect(driver.published).toEqual([]);
    opened.resolve();
    await settled();
    expect(driver.published).toHaveLength(1);
  });

  it('opens a subscription whose opening the connection broke off once it is back, and fails nobody', async () => {
    const { broker, driver, clock } = await transportFixture();
    const opening = Promise.withResolvers<void>();
    driver.intakesWait = opening.promise;
    const subscribed = broker.subscribe('n', () => 1);
    driver.host.onDisconnected('killed');
    // The client may find out as late as this.
    driver.host.onConnected();
    opening.reject(new Error('no answer'));
    await expect(subscribed).resolves.toMatchObject({ topic: 'n' });
    driver.intakesWait = undefined;
    await clock.advance(1_000);
    expect([...driver.consuming.keys()]).toEqual(['n']);
  });

  it('fails a subscription that the server refuses', async () => {
    const { broker, driver, clock } = await transportFixture();
    driver.refuseIntakes = new Error('no permission');
    await expect(broker.subscribe('n', () => 1)).rejects.toMatchObject({
      code: 'MESH_SUBSCRIPTION_FAILED',
      message: 'The server does not hand over messages of "n": no permission.',
    });
    driver.refuseIntakes = undefined;
    await clock.advance(10_000);
    expect(driver.consuming.size).toBe(0);
  });

  it('says what is known of a message whose time is over', async () => {
    const { broker, driver, clock } = await transportFixture();
    const sent = watch(broker.publish('n', 1, { guarantee: 'confirmed', timeoutMs: 100 }));
    await settled();
    driver.host.onDisconnected('killed');
    const unsent = watch(broker.publish('n', 2, { timeoutMs: 100 }));
    await clock.advance(110);
    expect(sent.outcome).toMatchObject({ code: 'MESH_PUBLISH_UNCONFIRMED', details: { outcome: 'unknown' } });
    expect(unsent.outcome).toMatchObject({ code: 'MESH_PUBLISH_UNCONFIRMED', details: { outcome: 'unsent' } });
    driver.host.onConnected();
    await settled();
    expect(driver.published).toHaveLength(1);
    await clock.advance(1_000);
    expect(clock.pendingTimers).toBe(0);
  });

  it('offers a confirmed message again under its id, and a plain one never', async () => {
    const { broker, driver } = await transportFixture();
    const confirmed = watch(broker.publish('n', 1, { id: 'm-1', guarantee: 'confirmed' }));
    const plain = watch(broker.publish('n', 2, { id: 'm-2' }));
    await settled();
    driver.host.onDisconnected('killed');
    await settled();
    expect(plain.outcome).toMatchObject({ details: { outcome: 'unknown' } });
    driver.host.onConnected();
    await settled();
    expect(driver.published.map(({ message }) => message.id)).toEqual(['m-1', 'm-2', 'm-1']);
    driver.published[2]!.answer.resolve();
    await settled();
    expect(confirmed.state).toBe('resolved');
  });

  it('tries again shortly when a connected server does not take a confirmed message', async () => {
    const { broker, driver, clock } = await transportFixture();
    const published = watch(broker.publish('n', 1, { guarantee: 'confirmed' }));
    await settled();
    driver.published[0]!.answer.reject(new Error('no leader yet'));
    await clock.advance(100);
    driver.published[1]!.answer.resolve();
    await settled();
    expect(published.state).toBe('resolved');
  });

  it('lets others pass while one waits to be offered again', async () => {
    const { broker, driver, clock } = await transportFixture();
    const refused = watch(broker.publish('full', 1, { id: 'm-1', guarantee: 'confirmed', timeoutMs: 250 }));
    await settled();
    driver.published[0]!.answer.reject(new Error('maximum messages exceeded'));
    await settled();
    const other = watch(broker.publish('other', 2, { id: 'm-2' }));
    await settled();
    driver.published[1]!.answer.resolve();
    await settled();
    expect(other.state).toBe('resolved');
    await clock.advance(260);
    expect(driver.published.map(({ message }) => message.id)).toEqual(['m-1', 'm-2', 'm-1']);
    expect(refused.outcome).toMatchObject({ details: { outcome: 'unknown', topic: 'full', id: 'm-1' } });
    await clock.advance(1_000);
    expect(clock.pendingTimers).toBe(0);
  });

  it('keeps what waits to be offered again over a broken connection', async () => {
    const { broker, driver, clock } = await transportFixture();
    const published = watch(broker.publish('n', 1, { id: 'm-1', guarantee: 'confirmed' }));
    await settled();
    driver.published[0]!.answer.reject(new Error('no leader yet'));
    await settled();
    driver.host.onDisconnected('killed');
    await clock.advance(500);
    expect(driver.published).toHaveLength(1);
    driver.host.onConnected();
    await settled();
    driver.published[1]!.answer.resolve();
    await settled();
    expect(published.state).toBe('resolved');
  });

  it('weighs what is on its way as well: it has to be kept when the connection breaks', async () => {
    const { broker, driver } = await transportFixture({ buffer: { maxMessages: 2, maxBytes: 10 } });
    void watch(broker.publish('n', 'xxxx', { guarantee: 'confirmed' }));
    await settled();
    const refusal = { code: 'MESH_OVERLOADED', details: { unit: 'bytes wait for the broker' } };
    await expect(broker.publish('n', 'xxxx')).rejects.toMatchObject(refusal);
    driver.host.onDisconnected('killed');
    await expect(broker.publish('n', 'xxxx')).rejects.toMatchObject(refusal);
    driver.host.onConnected();
    await settled();
    driver.published[1]!.answer.resolve();
    await settled();
    void watch(broker.publish('n', 'xxxx'));
    await settled();
    expect(driver.published).toHaveLength(3);
  });

  it('passes on the headers of a received message without those that are of that message alone', async () => {
    const { broker, driver } = await transportFixture();
    const headers = {
      tenant: 'a',
      'mesh-correlation-id': 'c',
      'mesh-key': 'k',
      'mesh-id': 'm-0',
      'mesh-only-group': 'g',
      'content-type': 'application/octet-stream',
    };
    void watch(broker.publish('n', 1, { headers }));
    void watch(broker.request('n', 1, { headers: { ...headers, 'mesh-probe': '1' } }));
    await settled();
    const own = { tenant: 'a', 'mesh-correlation-id': 'c', 'mesh-key': 'k' };
    const { 'mesh-source': _source, 'mesh-sent-at': _sentAt, ...published } = driver.published[0]!.message.headers;
    expect(published).toEqual(own);
    expect(driver.requests[0]!.headers).toEqual(own);
  });

  it('refuses an id that is no line of its own', async () => {
    const { broker } = await transportFixture();
    for (const id of ['a\r\nNats-Rollup: all', '', 7 as never])
      await expect(broker.publish('n', 1, { id })).rejects.toMatchObject({ code: 'MESH_PAYLOAD_INVALID' });
  });

  it('refuses more than its buffer holds, counted and weighed', async () => {
    const { broker, driver } = await transportFixture({ buffer: { maxMessages: 2, maxBytes: 10 } });
    driver.host.onDisconnected('killed');
    void watch(broker.publish('n', 'xxxx'));
    await expect(broker.publish('n', 'xxxx')).rejects.toMatchObject({
      code: 'MESH_OVERLOADED',
      details: { unit: 'bytes wait for the broker' },
    });
    void watch(broker.publish('n', 1));
    await expect(broker.publish('n', 2)).rejects.toMatchObject({
      code: 'MESH_OVERLOADED',
      details: { unit: 'messages wait for the broker' },
    });
  });

  it('refuses more than may wait for an answer at once', async () => {
    const { broker, metrics } = await transportFixture({ maxInFlight: 1 });
    void watch(broker.publish('n', 1));
    await settled();
    await expect(broker.publish('n', 2)).rejects.toMatchObject({ code: 'MESH_OVERLOADED' });
    expect(metrics.read('mesh_messages_total{topic="n",direction="publish",outcome="refused"}')).toBe(1);
  });

  it('refuses what the transport cannot do', async () => {
    const { broker } = await transportFixture(
      {},
      {
        capabilities: {
          confirmed: false,
          durable: false,
          groups: false,
          broadcast: false,
          replay: false,
          noResponder: false,
        },
      },
    );
    const code = 'MESH_CAPABILITY_MISSING';
    await expect(broker.publish('n', 1, { guarantee: 'confirmed' })).rejects.toMatchObject({ code });
    await expect(broker.subscribe('n', () => 1, { guarantee: 'atLeastOnce' })).rejects.toMatchObject({ code });
    await expect(broker.subscribe('n', () => 1, { group: 'g' })).rejects.toMatchObject({ code });
    await expect(broker.subscribe('n', () => 1, { group: false })).rejects.toMatchObject({ code });
    await expect(broker.waitFor(['n'])).rejects.toMatchObject({ code });
  });

  it('refuses what needs headers where none travel', async () => {
    const { broker } = await transportFixture({}, { capabilities: { headers: false } });
    const code = 'MESH_CAPABILITY_MISSING';
    for (const options of [{ id: 'm-1' }, { key: 'k' }, { headers: { tenant: 'a' } }])
      await expect(broker.publish('n', 1, options)).rejects.toMatchObject({ code });
    await expect(broker.request('n', 1, { headers: { tenant: 'a' } })).rejects.toMatchObject({ code });
    await expect(broker.subscribe('n', () => 1, { dedupe: true })).rejects.toMatchObject({ code });
    await broker.subscribe('n', () => 1);
    void watch(broker.publish('n', 1));
  });

  it('refuses a replay that the transport cannot do, and one that is shared or not stored', async () => {
    const { broker } = await transportFixture({}, { capabilities: { replay: false } });
    const own = { group: false, guarantee: 'atLeastOnce', replay: true } as const;
    await expect(broker.subscribe('n', () => 1, own)).rejects.toMatchObject({ code: 'MESH_CAPABILITY_MISSING' });
    const code = 'MESH_CONFIG_INVALID';
    await expect(broker.subscribe('n', () => 1, { ...own, group: 'g' })).rejects.toMatchObject({ code });
    await expect(broker.subscribe('n', () => 1, { ...own, guarantee: 'atMostOnce' })).rejects.toMatchObject({ code });
  });
});

describe('subscribing over a transport', () => {
  const stored = { guarantee: 'atLeastOnce', name: 'worker', backoffMs: [40], maxDeliver: 2 } as const;

  it('acknowledges after success, and not before', async () => {
    const { broker, driver } = await transportFixture();
    const gate = Promise.withResolvers<void>();
    const log: string[] = [];
    await broker.subscribe('n', () => gate.promise, stored);
    driver.deliver('n', {}, log);
    await settled();
    expect(log).toEqual([]);
    gate.resolve();
    await settled();
    expect(log).toEqual(['ack']);
  });

  it('leaves redelivery to the server, with its own delay, and the last failure to the dead letters', async () => {
    const { broker, driver } = await transportFixture();
    const log: string[] = [];
    const fail = (): never => {
      throw new Error('no');
    };
    await broker.subscribe('n', fail, stored);
    driver.deliver('n', { attempt: 1 }, log);
    await settled();
    driver.deliver('n', { attempt: 2 }, log);
    await settled();
    expect(log).toEqual(['retry in 40', 'dead letter after 2']);
  });

  it('does not call a message dead whose letter could not be stored', async () => {
    const { broker, driver, told } = await transportFixture();
    const fail = (): never => {
      throw new Error('no');
    };
    await broker.subscribe('n', fail, { ...stored, maxDeliver: 1 });
    const never = async (): Promise<void> => undefined;
    driver.deliver('n', { settle: { ack: never, retry: never, deadLetter: () => Promise.reject(new Error('full')) } });
    await settled();
    const names = told.map(({ name }) => name);
    expect(names).toContain('broker.transport-failed');
    expect(names).not.toContain('broker.dead-lettered');
  });

  it('has the dead letters of the server and of its own memory in one place', async () => {
    const { broker, driver, clock } = await transportFixture();
    const got: string[] = [];
    const fail = (_payload: unknown, { id }: Message): never => {
      got.push(id);
      throw new Error('no');
    };
    await broker.subscribe('n', fail, { name: 'mails', maxDeliver: 1 });
    driver.deliver('n', { id: 'plain' });
    await settled();
    await clock.advance(1);
    const kept = { id: 'stored', topic: 'n', payload: 1, headers: {}, publishedAt: 0, attempt: 1 };
    driver.storedLetters.add({ message: kept, handler: 'ledger', attempts: 1, error: 'no', failedAt: clock.now() }, 10);
    const letters = broker.deadLetters('n');
    expect((await letters.list()).map(({ message }) => message.id)).toEqual(['plain', 'stored']);
    expect(await letters.redrive(['plain'])).toBe(1);
    await settled();
    expect(got).toEqual(['plain', 'plain']);
    expect(await letters.discard()).toBe(2);
    expect(await letters.list()).toEqual([]);
  });

  it('says that dead letters cannot be reached, and why', async () => {
    const { broker, driver } = await transportFixture();
    const letters = broker.deadLetters('n');
    const unreachable = (why: string): unknown =>
      expect.objectContaining({
        code: 'MESH_DEAD_LETTERS_UNREACHABLE',
        message: expect.stringContaining(why) as string,
        retryable: true,
      });
    driver.refuseLetters = new Error('timeout');
    for (const work of ['list', 'redrive', 'discard'] as const)
      await expect(letters[work]()).rejects.toEqual(unreachable('timeout'));
    driver.host.onDisconnected('killed');
    await expect(letters.list()).rejects.toEqual(unreachable('killed'));
    driver.refuseLetters = undefined;
    driver.host.onConnected();
    expect(await letters.list()).toEqual([]);
  });

  it('makes a message that is no JSON a dead letter at once', async () => {
    const { broker, driver } = await transportFixture();
    const log: string[] = [];
    let runs = 0;
    await broker.subscribe('n', () => runs++, stored);
    driver.deliver('n', { body: { data: Buffer.from('{') } }, log);
    await settled();
    expect({ log, runs }).toEqual({ log: ['dead letter after 1'], runs: 0 });
  });

  it('drops a message that nobody stores when there is no room, and counts it', async () => {
    const { broker, driver, metrics } = await transportFixture({
      subscribe: { concurrency: 1, maxQueued: 1, maxDeliver: 1, backoffMs: [1], maxDeadLetters: 1 },
    });
    await broker.subscribe('n', () => new Promise(() => undefined));
    driver.deliver('n', {});
    await settled();
    driver.deliver('n', {});
    driver.deliver('n', {});
    expect(metrics.read('mesh_messages_total{topic="n",direction="deliver",outcome="dropped"}')).toBe(1);
    expect(broker.readHealth()).toMatchObject([{ status: 'degraded', reason: expect.stringMatching(/no room.*"n"/) }]);
  });

  it('hands back what had not begun when it drains, and still lets the running handler finish', async () => {
    const { broker, driver, clock } = await transportFixture();
    const gate = Promise.withResolvers<void>();
    const [running, waiting]: [string[], string[]] = [[], []];
    await broker.subscribe('n', () => gate.promise, { ...stored, concurrency: 1 });
    driver.deliver('n', {}, running);
    driver.deliver('n', { id: 'm-2' }, waiting);
    await settled();
    const drained = broker.drain({ deadlineAt: clock.now() + 1_000 });
    await settled();
    expect(driver.consuming.size).toBe(0);
    expect({ running, waiting }).toEqual({ running: [], waiting: ['retry in 0'] });
    gate.resolve();
    expect(await drained).toEqual({ finished: 1, abandoned: [] });
    expect(running).toEqual(['ack']);
  });

  it('reports what it could not send when a drain runs out of time, and how long that waited', async () => {
    const { broker, driver, clock } = await transportFixture();
    driver.host.onDisconnected('killed');
    const published = watch(broker.publish('unsent', 1));
    await settled();
    const drained = watch(broker.drain({ deadlineAt: clock.now() + 50 }));
    await clock.advance(50);
    expect(drained.outcome).toEqual({ finished: 0, abandoned: [{ name: 'unsent', ageMs: 50 }] });
    await broker.stop();
    await settled();
    expect((published.outcome as Error).message).toMatch(/stayed away for 50 ms/);
  });

  it('reports requests that nobody has answered when a drain runs out of time', async () => {
    const { broker, clock } = await transportFixture();
    void watch(broker.request('stuck'));
    await clock.advance(10);
    const drained = watch(broker.drain({ deadlineAt: clock.now() + 50 }));
    await clock.advance(50);
    expect(drained.outcome).toEqual({ finished: 0, abandoned: [{ name: 'stuck', ageMs: 60 }] });
  });

  it('still sends and asks between the drain and the stop, and nothing afterwards', async () => {
    const { broker, driver, clock } = await transportFixture();
    await broker.drain({ deadlineAt: clock.now() + 1_000 });
    const published = watch(broker.publish('n', 1));
    await settled();
    const stopped = watch(broker.stop({ deadlineAt: clock.now() + 1_000 }));
    await settled();
    expect(stopped.state).toBe('pending');
    driver.published[0]!.answer.resolve();
    await settled();
    expect([published.state, stopped.state, driver.stopped]).toEqual(['resolved', 'resolved', true]);
    await expect(broker.publish('n', 1)).rejects.toMatchObject({ code: 'MESH_DRAINING' });
    await clock.advance(2_000);
    expect(clock.pendingTimers).toBe(0);
  });

  it('refuses two subscriptions that would take each other’s messages unknowingly', async () => {
    const { broker } = await transportFixture();
    await broker.subscribe('n', () => 1);
    await expect(broker.subscribe('n', () => 2)).rejects.toMatchObject({ code: 'MESH_CONFIG_INVALID' });
  });
});
