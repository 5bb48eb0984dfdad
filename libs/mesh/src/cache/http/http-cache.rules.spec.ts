import { describe, expect, it } from 'vitest';
import { requestKey, storableFor } from './http-cache.rules.js';

const keyOf = (url: string) => requestKey(url, { host: 'shop' }, undefined, {});

describe('the key of a request', () => {
  it.each([
    ['/articles/..', '/'],
    ['/files/x/../report', '/files/report'],
    ['/files/%2E%2E/report', '/report'],
    ['//elsewhere/report', '/report'],
    ['/files\\report', '/files/report'],
    ['/report?page=1', '/report?page=2'],
    ['/report?page=1&page=2', '/report?page=2&page=1'],
  ])('tells %s from %s, as the handlers do', (one, other) => {
    expect(keyOf(one)).not.toBe(keyOf(other));
  });

  it('tells the hosts of HTTP/2 apart', () => {
    const [a, b] = ['a', 'b'].map((host) => requestKey('/report', { ':authority': host }, undefined, {}));
    expect(a).not.toBe(b);
  });

  it('is the same whatever the order of the parameters', () => {
    expect(keyOf('/report?page=1&size=2')).toBe(keyOf('/report?size=2&page=1'));
  });

  it.each(['//', '//[', '/?', '*'])('takes an address that is none: %s', (url) => {
    expect(keyOf(url)).toBeDefined();
  });
});

describe('a response that says how long it may be kept', () => {
  it.each([
    ['max-age=60', 60_000],
    ['s-maxage=5, max-age=60', 5_000],
    ['max-age=soon', false],
    [`max-age=${'9'.repeat(400)}`, 2 ** 31 * 1_000],
  ])('is kept for so long: %s', (header, expected) => {
    expect(storableFor(200, { 'cache-control': header }, {})).toBe(expected);
  });
});
