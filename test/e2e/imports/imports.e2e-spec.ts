import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

describe('an application without handlers and without servers', () => {
  it('loads no transport and no client', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['test/e2e/imports/boot.js']);
    const loaded = JSON.parse(stdout) as string[];

    expect(loaded).toContain('@nestjs/core');
    for (const unasked of [
      '@nestjs/microservices',
      '@keyv/redis',
      '@redis/client',
      'yaml',
      '@nats-io/transport-node',
      'rabbitmq-client',
    ])
      expect(loaded).not.toContain(unasked);
  });
});
