import { describe, expect, it } from 'vitest';
import { fromReplyToken, replyToken, withHeaders } from './nats.message.js';

describe('the subject that a request is answered on', () => {
  it('carries the id and the time that the sender waits', () => {
    expect(fromReplyToken(replyToken('1f3c9d2e-42', 1_500))).toEqual({ id: '1f3c9d2e-42', timeoutMs: 1_500 });
  });

  it.each(['8KZPQ2LHSVCXA7VV3JQ2RT', '12345678', 'a:b', ''])('says no time in an inbox of others: "%s"', (token) => {
    expect(fromReplyToken(token)).toEqual({ id: token });
  });
});

it('sends a message without headers as one that has none', () => {
  expect(withHeaders({}, undefined)).toEqual({});
  const { headers } = withHeaders({ tenant: 'a' }, 'text/plain');
  const written = (headers as unknown as { encode(): Buffer }).encode().toString();
  expect(written).toBe('NATS/1.0\r\ntenant: a\r\ncontent-type: text/plain\r\n\r\n');
});
