import { describe, expect, it } from 'vitest';
import { decodePayload, encodePayload } from './payload.codec.js';

describe('the payload codec', () => {
  it.each([
    [null],
    [0],
    [''],
    ['ž🐎'],
    [{ a: [1, { b: null }] }],
    [undefined],
    [Buffer.from([0, 255])],
    [Buffer.alloc(0)],
  ])('carries %j as it is', (payload) => {
    expect(decodePayload(encodePayload(payload))).toEqual(payload);
  });

  it('writes JSON without a mark, so that others can read it', () => {
    const { data, contentType } = encodePayload({ a: 1 });
    expect({ text: Buffer.from(data).toString(), contentType }).toEqual({ text: '{"a":1}', contentType: undefined });
  });

  it('hands out bytes that the connection cannot change any more', () => {
    const data = Buffer.from([1]);
    const payload = decodePayload({ data, contentType: 'application/octet-stream' });
    data[0] = 2;
    expect(payload).toEqual(Buffer.from([1]));
  });

  it.each([['{'], ['{"a":1}x']])('refuses %s', (text) => {
    expect(() => decodePayload({ data: Buffer.from(text) })).toThrow(/is not JSON/);
  });

  it('refuses text that is not UTF-8 rather than changing it', () => {
    expect(() => decodePayload({ data: Buffer.from([0x22, 0xff, 0x22]) })).toThrow(/is not JSON/);
  });
});
