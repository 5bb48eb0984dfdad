import { z } from 'zod';

/**
 * One change of a namespace, at its logical stamp: what was born before it is gone (`delete`, `tag`, `clear`) or no longer
 * fresh (`expire`). Values never travel: who wants the new one loads it, or reads it from the second tier.
 */
const invalidationSchema = z.discriminatedUnion('op', [
  z.object({ op: z.enum(['delete', 'expire']), namespace: z.string(), at: z.number(), key: z.string() }),
  z.object({ op: z.literal('tag'), namespace: z.string(), at: z.number(), tag: z.string() }),
  z.object({ op: z.literal('clear'), namespace: z.string(), at: z.number() }),
]);

/** What instances send each other. The sequence lets a receiver see that it missed something. */
export const invalidationMessageSchema = z.object({
  version: z.literal(1),
  instance: z.string(),
  /** New at every start of the instance. */
  epoch: z.string(),
  /** How many messages the instance has sent in this epoch, this one included; a heartbeat repeats the last. */
  sequence: z.number(),
  changes: z.array(invalidationSchema),
});

export type Invalidation = z.infer<typeof invalidationSchema>;
export type InvalidationMessage = z.infer<typeof invalidationMessageSchema>;
