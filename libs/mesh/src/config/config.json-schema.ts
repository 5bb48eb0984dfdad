import { z } from 'zod';
import type { ConfigSchema } from './config.schema.js';

/**
 * JSON Schema (draft 2020-12) of what a configuration file may hold, for editors and forms. Nothing is required, because
 * a file need not say what other sources say; `update` and `secret` stand beside the options that have them.
 */
export function configJsonSchema(schema: ConfigSchema): Readonly<Record<string, unknown>> {
  const json: Record<string, unknown> = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ jsonSchema }) => void delete jsonSchema.required,
  });
  return { ...json, properties: { $schema: { type: 'string' }, ...(json['properties'] as object | undefined) } };
}
