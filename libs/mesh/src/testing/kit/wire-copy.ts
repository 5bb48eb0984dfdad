import { decodePayload, encodePayload, type StandardSchema } from '../../index.js';

type Validate = StandardSchema['~standard']['validate'];

/**
 * The value as it would arrive from another process.
 * @throws {PayloadError} for what a transport could not send either.
 */
export function wireCopy(value: unknown): unknown {
  return decodePayload(encodePayload(value));
}

/** The schema of a receiver, which sees what arrives; its output is handed on as it is. */
export function ofArrivals(schema: StandardSchema): StandardSchema {
  return validatingBy(schema, (value) => schema['~standard'].validate(wireCopy(value)));
}

interface Outgoing<O> {
  readonly payload: unknown;
  readonly options: O;
}

/**
 * What a broker is given to send: a copy, taken now, and the sender's schema, which sees the payload itself. What cannot be
 * written as JSON is refused where the broker checks the schema, after it has looked at everything else.
 */
export function outgoing<O extends { readonly schema?: StandardSchema }>(payload: unknown, options: O): Outgoing<O> {
  const { schema } = options;
  let copy: unknown;
  let refusal: { readonly error: unknown } | undefined;
  try {
    copy = wireCopy(payload);
  } catch (error) {
    refusal = { error };
  }
  if (!schema && !refusal) return { payload: copy, options };
  const validate: Validate = async () => {
    const result = (await schema?.['~standard'].validate(payload)) ?? { value: payload };
    if (refusal && !result.issues) throw refusal.error;
    return result;
  };
  return { payload: copy, options: { ...options, schema: validatingBy(schema, validate) } };
}

function validatingBy(schema: StandardSchema | undefined, validate: Validate): StandardSchema {
  return { '~standard': { version: 1, vendor: 'nestjs-mesh', ...schema?.['~standard'], validate } };
}
