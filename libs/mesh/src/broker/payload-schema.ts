import type { SchemaIssue, StandardSchema } from '../core/standard-schema.js';
import { PayloadError } from './broker.errors.js';

/**
 * The schema's output for `value`.
 * @throws {PayloadError} that tells `what` does not fit, where, and why.
 */
export async function conforming(schema: StandardSchema, value: unknown, what: string): Promise<unknown> {
  const result = await schema['~standard'].validate(value);
  if (!result.issues) return result.value;
  const issues = result.issues.map(({ message, path }) => ({ path: pathOf(path), message }));
  const told = issues.slice(0, 3).map(({ path, message }) => (path ? `${path}: ${message}` : message));
  const more = issues.length > 3 ? ` and ${issues.length - 3} more` : '';
  throw new PayloadError(`${what} does not fit its schema: ${told.join('; ')}${more}.`, { issues });
}

/** `handler` behind the schema: it gets the schema's output, and never sees a payload that does not fit. */
export function checked<M>(
  schema: StandardSchema,
  what: string,
  handler: (payload: never, message: M) => unknown,
): (payload: unknown, message: M) => Promise<unknown> {
  return async (payload, message) => handler((await conforming(schema, payload, what)) as never, message);
}

function pathOf(path: SchemaIssue['path']): string {
  return (path ?? []).map((segment) => String(typeof segment === 'object' ? segment.key : segment)).join('.');
}
