import { expect, it } from 'vitest';
import { z } from 'zod';
import { configReference } from './config.reference.js';

it('lists every option with type, default, update class and meaning', () => {
  const schema = z.strictObject({
    service: z.strictObject({ name: z.string().describe('Name of the service.') }),
    policies: z
      .record(
        z.string(),
        z.strictObject({
          timeoutMs: z.int().optional().describe('Limit of one attempt, in ms.'),
          backoff: z.enum(['constant', 'exponential']).default('exponential'),
        }),
      )
      .default({})
      .meta({ update: 'live' }),
    cache: z
      .union([
        z.literal(false),
        z.strictObject({
          ttlMs: z.int().default(30_000).meta({ update: 'live' }).describe('How long a value is fresh | in ms.'),
          url: z.url().optional().meta({ update: 'swap' }),
        }),
      ])
      .prefault({})
      .describe('`false` switches it off.'),
    levels: z.strictObject({ http: z.string() }).default({ http: 'info' }),
    servers: z.array(z.string()).default([]),
  });

  expect(configReference(schema)).toMatchInlineSnapshot(`
    "| Option | Type | Default | Update | Meaning |
    | --- | --- | --- | --- | --- |
    | \`service.name\` | \`text\` | \`required\` | restart | Name of the service. |
    | \`policies.<name>.timeoutMs\` | \`number\` |  | live | Limit of one attempt, in ms. |
    | \`policies.<name>.backoff\` | \`"constant" or "exponential"\` | \`"exponential"\` | live |  |
    | \`cache\` | \`false or object\` | \`on\` | restart | \`false\` switches it off. |
    | \`cache.ttlMs\` | \`number\` | \`30000\` | live | How long a value is fresh \\| in ms. |
    | \`cache.url\` | \`text\` |  | swap |  |
    | \`levels.http\` | \`text\` | \`"info"\` | restart |  |
    | \`servers\` | \`list of text\` | \`[]\` | restart |  |"
  `);
});

it('refers to an earlier section with the same options instead of repeating them', () => {
  const options = {
    a: z.int().optional(),
    b: z.strictObject({ c: z.int().optional(), d: z.int().optional(), e: z.int().optional() }).optional(),
  };
  const schema = z.strictObject({
    defaults: z.strictObject(options),
    policies: z.record(z.string(), z.strictObject({ extends: z.string().optional(), ...options })),
    others: z.strictObject({ ...options, a: z.string().optional() }),
  });
  const paths = configReference(schema)
    .split('\n')
    .map((line) => line.split('|')[1]!.trim());
  expect(paths.slice(2)).toEqual([
    '`defaults.a`',
    '`defaults.b.c`',
    '`defaults.b.d`',
    '`defaults.b.e`',
    '`policies.<name>.extends`',
    '`policies.<name>.…`',
    '`others.a`',
    '`others.b.c`',
    '`others.b.d`',
    '`others.b.e`',
  ]);
});
