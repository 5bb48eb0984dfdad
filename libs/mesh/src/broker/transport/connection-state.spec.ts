import { describe, expect, it } from 'vitest';
import { transportFixture } from '../../../../../test/broker/scripted-driver.fixture.js';

describe('the connection of a transport', () => {
  it('is told as away when the server is not there at the start, and as up when it comes', async () => {
    const { broker, driver, told } = await transportFixture({ required: false }, { startsAway: 'nobody answers' });
    const connection = (): unknown[] =>
      told.filter(({ name }) => name === 'broker.connection').map(({ event }) => event);
    expect(connection()).toEqual([{ transport: 'scripted', state: 'away', reason: 'nobody answers' }]);
    expect(broker.readHealth()).toMatchObject([{ status: 'down', reason: 'The connection is away: nobody answers' }]);
    driver.host.onConnected();
    expect(connection()).toMatchObject([{ state: 'away' }, { state: 'up' }]);
    expect(broker.readHealth()).toMatchObject([{ status: 'up' }]);
  });

  it('is told once for each change, however often the driver says it', async () => {
    const { driver, told } = await transportFixture();
    for (const reason of ['cut', 'still cut']) driver.host.onDisconnected(reason);
    driver.host.onConnected();
    driver.host.onConnected();
    const states = told
      .filter(({ name }) => name === 'broker.connection')
      .map(({ event }) => (event as { state: string }).state);
    expect(states).toEqual(['up', 'away', 'up']);
  });
});
