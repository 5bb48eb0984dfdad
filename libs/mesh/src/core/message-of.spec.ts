import { describe, expect, it } from 'vitest';
import { messageOf } from './message-of.js';

describe('what was thrown', () => {
  it.each([
    [new Error('no room'), 'no room'],
    ['text', 'text'],
    [null, 'null'],
    [Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
    [new RangeError(), 'RangeError'],
    [Object.create(null), 'something was thrown that has no text'],
  ])('%o says of itself: %s', (thrown, text) => {
    expect(messageOf(thrown)).toBe(text);
  });
});
