import { describe, expect, it } from 'vitest';
import { Redaction } from './redaction.js';

describe('Redaction', () => {
  const redaction = new Redaction(['card_number']);

  it.each(['password', 'Password', 'API-Key', 'api_key', 'x-api-key', 'Set-Cookie', 'refreshToken', 'cardNumber'])(
    'replaces the value of %s',
    (name) => {
      expect(redaction.fields({ [name]: 'planted', kept: 1 })).toEqual({ [name]: '***', kept: 1 });
    },
  );

  it('keeps what only sounds alike', () => {
    const fields = { tokens: 512, passwordChangedAt: 'monday', cookiesAccepted: 'all', secretary: 'bob', token: null };
    expect(redaction.fields(fields)).toBe(fields);
  });

  it('looks into objects, arrays and errors', () => {
    const error = Object.assign(new Error('m'), { request: { headers: [{ cookie: 'planted' }] } });
    const { err } = redaction.fields({ err: error });
    expect(JSON.stringify(err)).not.toContain('planted');
    expect(err).toBeInstanceOf(Error);
    expect(err.message).toBe('m');
    expect(err.stack).toBe(error.stack);
  });

  it('looks at what toJSON makes of a value', () => {
    const document = { toJSON: () => ({ id: 1, password: 'planted' }) };
    const plain = { toJSON: () => 'text', token: 'not written' };
    const safe = redaction.fields({ document, plain });
    expect(JSON.stringify(safe)).toBe('{"document":{"id":1,"password":"***"},"plain":"text"}');
  });

  it('survives values that throw when they are read', () => {
    const broken = {
      get value() {
        throw new Error('no');
      },
    };
    expect(redaction.fields({ broken, a: 1 })).toEqual({ broken: '[Unreadable]', a: 1 });
    expect(redaction.fields(broken)).toEqual({ unreadable: true });
  });

  it('returns what has no secret uncopied', () => {
    const fields = { a: { b: [1, { c: 2 }] }, when: new Date() };
    expect(redaction.fields(fields)).toBe(fields);
  });

  it('writes no more of what it does not look at: cycles and great depth', () => {
    const cycle: Record<string, unknown> = { token: 'planted' };
    cycle['again'] = [cycle];
    let deep: Record<string, unknown> = { token: 'planted' };
    for (let i = 0; i < 20; i++) deep = { deep };
    expect(JSON.stringify(redaction.fields({ cycle, deep }))).not.toContain('planted');
  });

  it('takes credentials out of the whole line, and leaves it JSON', () => {
    const line = JSON.stringify({
      msg: 'GET https://app:planted@host/x?token=planted sent Bearer plant3d',
      url: 'redis://:planted@a',
    });
    expect(JSON.parse(redaction.text(line))).toEqual({
      msg: 'GET https://***@host/x?token=*** sent Bearer ***',
      url: 'redis://***@a',
    });
  });

  it('does not confuse a value that logs while it is read with a cycle', () => {
    const inner = { a: 1 };
    const logging = { toJSON: () => ({ seen: redaction.fields({ inner }) }) };
    expect(JSON.stringify(redaction.fields({ logging, inner, again: inner }))).toBe(
      '{"logging":{"seen":{"inner":{"a":1}}},"inner":{"a":1},"again":{"a":1}}',
    );
  });
});
