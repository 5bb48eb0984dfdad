import { describe, expect, it } from 'vitest';
import { QueueNames } from './queue-names.js';

const names = new QueueNames('mesh');

describe('QueueNames', () => {
  it('keeps topics and groups readable', () => {
    expect(names.stored('order.placed', 'shop.onPlaced')).toBe('mesh.stored.order.placed|shop.onPlaced');
    expect(names.retry(names.stored('a', 'b'), 1024)).toBe('mesh.stored.a|b.retry.1024');
  });

  it('gives no two groups one queue', () => {
    expect(names.stored('a|b', 'c')).not.toBe(names.stored('a', 'b|c'));
    expect(names.stored('a', 'b%7Cc')).not.toBe(names.stored('a', 'b|c'));
  });

  it('shortens what AMQP would not take, and still tells it apart', () => {
    const long = (end: string): string => names.request('ž'.repeat(300) + end);
    expect(Buffer.byteLength(long('a'))).toBeLessThanOrEqual(200);
    expect(long('a')).not.toBe(long('b'));
    expect(long('a')).toBe(long('a'));
  });
});
