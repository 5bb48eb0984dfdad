import type { CacheClient, ConfigParticipant, MeshConfig, MessageBroker, ServiceMesh } from 'nestjs-mesh';

declare const mesh: ServiceMesh;
declare const cache: CacheClient;
declare const broker: MessageBroker;

void mesh.replace('cache', cache);
// @ts-expect-error -- a broker is no cache
void mesh.replace('cache', broker);
// @ts-expect-error -- not a part that can be replaced
void mesh.replace('health', mesh.health);

// The snapshot has every default.
const ttl: number | 'forever' = mesh.config.snapshot.cache.ttlMs;
void ttl;

const participant: ConfigParticipant<MeshConfig> = {
  name: 'mine',
  paths: ['resilience.policies'],
  check: ({ next, previous }) => {
    if (next.resilience === previous.resilience) throw new Error('nothing to look at');
  },
};
mesh.config.join(participant);

// @ts-expect-error -- who asks stands in the history
void mesh.config.update({});
