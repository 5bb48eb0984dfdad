import { describe, expect, it } from 'vitest';
import { requestKey } from './http-cache.rules.js';

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

  it('is the same whatever the order of the parameters', () => {
    expect(keyOf('/report?page=1&size=2')).toBe(keyOf('/report?size=2&page=1'));
  });

  it.each(['//', '//[', '/?', '*'])('takes an address that is none: %s', (url) => {
    expect(keyOf(url)).toBeDefined();
  });
});
