import { describe, expect, it } from 'vitest';
import { CallContexts } from '../core/call-context.js';
import { callLogFields } from './call-log-fields.js';

describe('the fields of a call', () => {
  const contexts = new CallContexts();
  const fieldsIn = (context: Parameters<CallContexts['run']>[0]) =>
    contexts.run(context, () => callLogFields(contexts));

  it('are none outside of one', () => {
    expect(callLogFields(contexts)).toEqual({});
  });

  it("name the caller's trace and span", () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    expect(fieldsIn({ correlationId: 'corr-1', traceparent })).toEqual({
      correlationId: 'corr-1',
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
    });
  });

  it.each([
    ['one of ours', '3195ab12-6d82-4683-b663-cdd3923b3fb9', '3195ab126d824683b663cdd3923b3fb9'],
    ["a stranger's", 'corr-1', '12423b976fe4078b3c8b6b4c279cd86e'],
  ])(
    'have a trace id that follows from the correlation id where nobody traces: %s',
    (_whose, correlationId, traceId) => {
      expect(fieldsIn({ correlationId })).toEqual({ correlationId, traceId: expect.stringMatching(/^[\da-f]{32}$/) });
      expect(fieldsIn({ correlationId }).traceId).toBe(traceId);
    },
  );
});
