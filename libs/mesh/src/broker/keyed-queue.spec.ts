import { describe, expect, it } from 'vitest';
import { KeyedQueue } from './keyed-queue.js';

/** Items are written `key:n`, or `n` alone without a key. */
function queueOf(...items: string[]): KeyedQueue<string> {
  const queue = new KeyedQueue<string>((item) => (item.includes(':') ? item.split(':')[0] : undefined));
  for (const item of items) queue.push(item);
  return queue;
}

describe('a keyed queue', () => {
  it('holds back a key that is being worked on, and lets the others pass', () => {
    const queue = queueOf('a:1', 'a:2', 'b:1', '1');
    expect([queue.shift(), queue.shift(), queue.shift(), queue.shift()]).toEqual(['a:1', 'b:1', '1', undefined]);
    queue.release('b:1');
    expect(queue.shift()).toBeUndefined();
    queue.release('a:1');
    expect(queue.shift()).toBe('a:2');
  });

  it('keeps the order of a key, also for what comes while it is worked on', () => {
    const queue = queueOf('a:1', 'a:2');
    const first = queue.shift()!;
    queue.push('a:3');
    queue.release(first);
    expect(queue.shift()).toBe('a:2');
    queue.release('a:2');
    expect(queue.shift()).toBe('a:3');
  });

  it('counts and lists what is held back', () => {
    const queue = queueOf('a:1', 'a:2', '1');
    expect([queue.length, [...queue]]).toEqual([3, ['a:1', '1', 'a:2']]);
    queue.shift();
    expect(queue.length).toBe(2);
  });

  it('forgets a key when nothing of it is left', () => {
    const queue = queueOf('a:1');
    queue.release(queue.shift()!);
    queue.push('a:2');
    expect(queue.shift()).toBe('a:2');
  });

  it('gives up everything that has not begun, and still knows what has', () => {
    const queue = queueOf('a:1', 'a:2', 'b:1', 'b:2', '1');
    queue.shift();
    expect(queue.takeAll()).toEqual(['b:1', '1', 'a:2', 'b:2']);
    expect(queue.length).toBe(0);
    queue.push('b:3');
    queue.push('a:3');
    expect([queue.shift(), queue.shift()]).toEqual(['b:3', undefined]);
    queue.release('a:1');
    expect(queue.shift()).toBe('a:3');
  });
});
