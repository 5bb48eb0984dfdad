import { z } from 'zod';
import type { ConfigMeta, ConfigSchema } from './config.schema.js';

/**
 * JSON Schema (draft 2020-12) of what a configuration file may hold, for editors and forms. Nothing is required, because
 * a file need not say what other sources say; `update` and `secret` stand beside the options that have them.
 */
export function configJsonSchema(schema: ConfigSchema): Readonly<Record<string, unknown>> {
  const json: Record<string, unknown> = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      delete jsonSchema.required;
      const { byDefault } = jsonSchema as ConfigMeta;
      if (byDefault !== undefined) jsonSchema.default = byDefault as typeof jsonSchema.default;
      delete jsonSchema['byDefault'];
    },
  });
  return { ...json, properties: { $schema: { type: 'string' }, ...(json['properties'] as object | undefined) } };
}
