import { describe, expect, it } from 'vitest';
import { isSecret, isSecretName, maskCredentials, maskText } from './secrets.js';

describe('a name', () => {
  it.each(
    'password Password DB_PASSWORD passwordHash passphrase pwd smtpPass secret clientSecret token refresh_token authToken api-key X-Api-Key accessKey privateKey authorization Proxy-Authorization cookie Set-Cookie credentials secrets'.split(
      ' ',
    ),
  )('sounds like a secret: %s', (name) => {
    expect(isSecretName(name)).toBe(true);
  });

  it.each(
    'passwordChangedAt cookiesAccepted secretary tokenizer tokensLeft accessKeyId keyId bypass compass author path'.split(
      ' ',
    ),
  )('does not: %s', (name) => {
    expect(isSecretName(name)).toBe(false);
  });

  it('is none over nothing, a flag or a count', () => {
    expect([null, undefined, true].map((value) => isSecret('token', value))).toEqual([false, false, false]);
    expect(isSecret('tokens', 512)).toBe(false);
    expect([isSecret('pwd', 1234), isSecret('tokens', ['a']), isSecret('token', '')]).toEqual([true, true, true]);
  });
});

describe('credentials', () => {
  it.each([
    ['redis://app:planted@cache:6379/0', 'redis://***@cache:6379/0'],
    ['redis://:plant@ed@a', 'redis://***@a'],
    ['amqp://app:pl@nted@mq', 'amqp://***@mq'],
    ['postgres://app:pla/nted@db/orders', 'postgres://***@db/orders'],
    ['postgres://app:1/planted@db/orders', 'postgres://***@db/orders'],
    ['https://app:pla/nted@host/', 'https://***@host/'],
    ['https://planted@host/a and http://b:planted@c', 'https://***@host/a and http://***@c'],
    ['https://a/x?api_key=planted&b=1', 'https://a/x?api_key=***&b=1'],
    ['"msg":"/x?user=1&token=planted","a":1', '"msg":"/x?user=1&token=***","a":1'],
    ['sent Authorization: Bearer plant3d.abc.def', 'sent Authorization: Bearer ***'],
  ])('are taken out of %s', (text, masked) => {
    expect(maskCredentials(text)).toBe(masked);
    expect(maskText(text)).not.toContain('planted');
  });

  it.each([
    'http://host:8080/path?mail=a@b',
    'https://host/@scope/name',
    '"url":"http://host","to":"ops@example.org"',
    '"broker":"nats://host","to":"ops@example.org"',
    'basic authentication failed',
    'a = b, x=1',
  ])('are not seen in %s', (text) => {
    expect(maskCredentials(text)).toBe(text);
  });

  it.each([
    ['Server=db;User=sa;Password=planted;Encrypt=true', 'Server=db;User=sa;Password=***;Encrypt=true'],
    ['{"user":"a","secret":"planted"}', '{"user":"a","secret":***}'],
    ['rotating token=planted now', 'rotating token=*** now'],
  ])('are told by their name in what is shown to people: %s', (text, masked) => {
    expect(maskText(text)).toBe(masked);
  });

  it.each(['a', 'password=', 'x://', 'http://', 'token', 'bearer ', '?key', '://@'])(
    'are looked for in little time in a long hostile text of %j',
    (piece) => {
      const text = `x://=bearer ${piece.repeat(100_000)}`.slice(0, 200_000);
      const started = performance.now();
      maskText(text);
      expect(performance.now() - started).toBeLessThan(1_000);
    },
  );
});
