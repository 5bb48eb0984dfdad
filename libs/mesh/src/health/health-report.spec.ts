import { describe, expect, it } from 'vitest';
import { failureReport, toReport } from './health-report.js';

const SECRET = 'pl4nted-s3cret';

describe('toReport', () => {
  it('takes nothing for up', () => {
    expect(toReport(undefined)).toEqual({ status: 'up' });
  });

  it('keeps plain details', () => {
    const details = { pool: { size: 5, idle: [1, 2] }, primary: true, since: new Date(0), lag: null };
    expect(toReport({ status: 'up', details })).toEqual({
      status: 'up',
      details: { ...details, since: '1970-01-01T00:00:00.000Z' },
    });
  });

  it('makes any details writable as JSON', () => {
    const details: Record<string, unknown> = {
      big: 10n,
      nan: Number.NaN,
      method: () => undefined,
      broken: Object.defineProperty({}, 'x', {
        enumerable: true,
        get: () => {
          throw new Error('trap');
        },
      }),
      deep: { a: { b: { c: { d: 1 } } } },
      toJSON: () => 'overridden',
    };
    details['self'] = details;
    expect(JSON.parse(JSON.stringify(toReport({ status: 'up', details })))).toEqual({
      status: 'up',
      details: {
        big: '10',
        nan: 'NaN',
        broken: { x: '[unreadable]' },
        deep: { a: { b: { c: '[…]' } } },
        self: '[circular]',
      },
    });
  });

  it('limits how much details may say', () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, 'x'.repeat(10_000)]));
    expect(JSON.stringify(toReport({ status: 'up', details: many })).length).toBeLessThan(20_000);
  });

  it.each([
    [
      'a key',
      {
        password: SECRET,
        nested: {
          apiKey: SECRET,
          'set-cookie': [SECRET],
          passwordHash: SECRET,
          accessKey: SECRET,
          authToken: { value: SECRET },
        },
      },
    ],
    ['a URL', { url: `redis://user:${SECRET}@cache:6379/0`, token_url: `amqp://${SECRET}@mq` }],
    ['a URL whose password is odd', { url: `postgres://app:a/${SECRET}@${SECRET}@db:5432/app` }],
    ['a secret behind a long text', { text: `${'password='}${'x'.repeat(1_500)} redis://:${SECRET}@cache` }],
    ['a header', { sent: `Authorization: Bearer ${SECRET}.abc.def` }],
    ['a connection string', { dsn: `Server=db;User=sa;Password=${SECRET};Encrypt=true` }],
    ['a query', { uri: `https://x/y?user=1&token=${SECRET}&a=b` }],
    ['JSON in a text', { body: `{"user":"a","secret":"${SECRET}"}` }],
    ['an error', { last: new Error(`login with password=${SECRET} failed`) }],
  ])('never shows a secret in %s', (_where, details) => {
    expect(JSON.stringify(toReport({ status: 'down', reason: 'no', details }))).not.toContain(SECRET);
  });
});

describe('failureReport', () => {
  it('names the code and the message without credentials', () => {
    const error = Object.assign(new Error(`connect to postgres://app:${SECRET}@db/app`), { code: 'ECONNREFUSED' });
    expect(failureReport(error)).toEqual({ status: 'down', reason: 'ECONNREFUSED: connect to postgres://***@db/app' });
  });

  it('says a code once', () => {
    const error = Object.assign(new Error('connect ECONNREFUSED ::1:5432'), { code: 'ECONNREFUSED' });
    expect(failureReport(error).reason).toBe('connect ECONNREFUSED ::1:5432');
  });

  it('finds the words of an aggregate that has none', () => {
    const error = Object.assign(new AggregateError([new Error('connect ECONNREFUSED ::1:1')]), {
      code: 'ECONNREFUSED',
    });
    expect(failureReport(error).reason).toBe('connect ECONNREFUSED ::1:1');
  });

  it.each([
    [undefined],
    [null],
    ['text'],
    [Symbol('s')],
    [{ a: 1 }],
    [Object.create(null)],
    [
      new Proxy(Error, {
        getPrototypeOf: () => {
          throw new Error('no');
        },
      }),
    ],
  ])('reads whatever is thrown', (thrown) => {
    expect(failureReport(thrown)).toMatchObject({ status: 'down', reason: expect.any(String) });
  });
});
