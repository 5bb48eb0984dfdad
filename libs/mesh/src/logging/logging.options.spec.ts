import { describe, expect, it } from 'vitest';
import { loggingSchema } from './logging.options.js';

describe('the options of logging', () => {
  it('tell where logs are switched off to whoever tries it here', () => {
    expect(loggingSchema.safeParse(false).error!.message).toContain('MeshModule.forRoot(options, { logging: false })');
    expect(loggingSchema.safeParse('off').error!.message).not.toContain('forRoot');
  });
});
