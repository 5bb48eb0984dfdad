import { describe, expect, it } from 'vitest';
import { brokerFixture, watch } from '../../../../test/broker/broker.fixture.js';
import { BrokerComponent } from './broker.component.js';

describe('the broker as a component', () => {
  it('drains until its deadline, then stops without leaving a timer', async () => {
    const { broker, clock } = brokerFixture();
    broker.serve('stuck', () => new Promise(() => undefined));
    const request = watch(broker.request('stuck'));
    const component = new BrokerComponent(broker);
    const context = { signal: new AbortController().signal, reason: 'shutdown', deadlineAt: clock.now() + 50 } as const;
    const drained = watch(component.drain(context));
    await clock.advance(49);
    expect(drained.state).toBe('pending');
    await clock.advance(1);
    expect(drained.state).toBe('resolved');
    void component.stop(context);
    await clock.advance(0);
    expect(request.state).toBe('rejected');
    expect(clock.pendingTimers).toBe(0);
  });

  it('reports the health of the broker', () => {
    const { broker } = brokerFixture();
    expect(new BrokerComponent(broker).check({ signal: new AbortController().signal })).toMatchObject({ status: 'up' });
  });
});
