import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StockService } from './stock.service.js';

const kettles = { orderId: 'a', productId: 'kettle', quantity: 3 };

describe('the stock', () => {
  let stock: StockService;
  const kettle = () => stock.count().find(({ productId }) => productId === 'kettle');

  beforeEach(() => {
    vi.useFakeTimers();
    stock = new StockService();
  });
  afterEach(() => vi.useRealTimers());

  it('puts back what was reserved for an order that nobody placed', () => {
    stock.reserve(kettles);
    vi.advanceTimersByTime(29_000);
    expect(kettle()).toMatchObject({ onHand: 997, reserved: 3 });
    vi.advanceTimersByTime(1_000);
    expect(kettle()).toMatchObject({ onHand: 1_000, reserved: 0 });
  });

  it('keeps what was ordered, however late the order is placed', () => {
    stock.reserve(kettles);
    stock.take(kettles);
    vi.advanceTimersByTime(60_000);
    expect(kettle()).toMatchObject({ onHand: 997, reserved: 3 });

    stock.reserve({ ...kettles, orderId: 'b' });
    vi.advanceTimersByTime(60_000);
    expect(kettle()).toMatchObject({ onHand: 997, reserved: 3 });
    stock.take({ ...kettles, orderId: 'b' });
    expect(kettle()).toMatchObject({ onHand: 994, reserved: 6 });
  });

  it.each([
    [['take', 'sell'], { onHand: 997, reserved: 0 }],
    [['sell', 'take'], { onHand: 997, reserved: 0 }],
    [['take', 'take', 'sell'], { onHand: 997, reserved: 0 }],
    [['take', 'release'], { onHand: 1_000, reserved: 0 }],
    [['release', 'take'], { onHand: 1_000, reserved: 0 }],
    [['release', 'release', 'take'], { onHand: 1_000, reserved: 0 }],
  ] as const)('counts the same in whatever order the log is read: %s', (events, expected) => {
    for (const event of events)
      if (event === 'take') stock.take(kettles);
      else stock[event](kettles.orderId);
    expect(kettle()).toMatchObject(expected);
  });
});
