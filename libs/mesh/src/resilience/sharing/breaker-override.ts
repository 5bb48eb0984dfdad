import { z } from 'zod';

/** What an operator said about one breaker, as the instances of a service tell it to each other. */
const overrideSchema = z.object({
  policy: z.string(),
  key: z.string().optional(),
  action: z.enum(['isolate', 'disable', 'release']),
  reason: z.string(),
  author: z.string().optional(),
  /** Epoch ms, and later than what was known when it was said: of two overrides of a breaker the higher one holds. */
  version: z.number(),
  /** Decides between two of the same version. */
  id: z.string(),
  /** Epoch ms at which the hold ends by itself. */
  until: z.number().optional(),
});

export const overridesSchema = z.array(overrideSchema);

export type BreakerOverride = z.infer<typeof overrideSchema>;

/** Which breaker: unambiguous whatever stands in policy and key. */
export function breakerId({ policy, key }: { readonly policy: string; readonly key?: string | undefined }): string {
  return JSON.stringify(key === undefined ? [policy] : [policy, key]);
}
