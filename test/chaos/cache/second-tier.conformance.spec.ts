import { afterAll, beforeAll, describe, it } from 'vitest';
import { cacheConformance, type CacheUnderTest } from '../../../libs/mesh/src/testing/cache.conformance.js';
import { RedisServer } from './redis-server.js';
import { cacheInstance } from './shared-cache.js';

let redis: RedisServer;
let subjects = 0;

beforeAll(async () => {
  redis = await RedisServer.start();
});

afterAll(() => redis.kill());

/** Two instances of one service, which no test before has used. */
async function create(): Promise<CacheUnderTest> {
  const options = { redis: { url: redis.url }, secondTier: { prefix: `conformance-${subjects++}`, required: true } };
  const [{ cache }, { cache: peer }] = [cacheInstance(options), cacheInstance(options, 'b')];
  await Promise.all([cache.start(), peer.start()]);
  const close = async (): Promise<void> => {
    await Promise.all([cache.stop(), peer.stop()]);
  };
  return { cache, peer, close };
}

describe('MeshCache with Redis as the second tier', () => {
  for (const { name, run } of cacheConformance(create)) it(name, run);
});
