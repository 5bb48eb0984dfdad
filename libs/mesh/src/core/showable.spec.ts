import { expect, it } from 'vitest';
import { showable } from './showable.js';

const shown = (value: unknown): string => JSON.stringify(showable(value, { maxDepth: 8, maxItems: 5_000 }));

const planted = 'planted';

it.each<[string, unknown]>([
  ['under its name', { password: planted, apiKey: planted, 'x-auth-token': { deep: planted } }],
  ['deep inside', { a: [{ b: { clientSecret: planted } }] }],
  ['in a URL', `redis://user:${planted}@cache:6379`],
  ['in a query', `https://wiki/x?token=${planted}&a=1`],
  ['in an error', new Error(`GET https://u:${planted}@host failed`)],
  ['beside an error', Object.assign(new Error('x'), { config: { headers: { authorization: planted } } })],
  [
    'in a class',
    new (class Client {
      readonly secret = planted;
    })(),
  ],
  ['as a key of a map', new Map([['token', planted]])],
])('hides a secret %s', (_where, value) => {
  expect(shown({ value })).not.toContain(planted);
});

it('keeps what is none', () => {
  const value = { tokensLeft: 3, list: [1, 'a', null, true], at: new Date(0), error: new TypeError('no') };
  expect(JSON.parse(shown(value))).toEqual({
    tokensLeft: 3,
    list: [1, 'a', null, true],
    at: '1970-01-01T00:00:00.000Z',
    error: { name: 'TypeError', message: 'no' },
  });
});

it('survives circles, bad getters and big numbers', () => {
  const circle: Record<string, unknown> = { big: 10n };
  circle['self'] = circle;
  Object.defineProperty(circle, 'bad', {
    enumerable: true,
    get() {
      throw new Error(planted);
    },
  });
  expect(shown(circle)).toContain('"bad":"[unreadable]"');
});

it('copies no more than it may', () => {
  const limits = { maxDepth: 2, maxItems: 2, text: (text: string) => text.slice(0, 3) };
  expect(showable({ a: { b: { c: 1 } }, list: [1, 2, 3], more: 1 }, limits)).toEqual({ a: { b: '[…]' }, list: [1, 2] });
  expect(showable(['a long text', new Error('a long text')], limits)).toEqual([
    'a l',
    { name: 'Error', message: 'a l' },
  ]);
});
