// What a readiness probe costs the server, with 5 and with 50 contributors, beside Terminus alone.
// npm run build:lib && npm run bench -- http/health
import { fileURLToPath } from 'node:url';
import { goal, print } from '../harness.js';
import { raceServers } from './server-race.js';

const script = fileURLToPath(new URL('health.server.mjs', import.meta.url));
const MESH_5 = 'mesh, 5 contributors';
const MESH_50 = 'mesh, 50 contributors';
const TERMINUS_5 = 'Terminus alone, 5 indicators';
const TERMINUS_50 = 'Terminus alone, 50 indicators';
const variants = [
  { name: MESH_5, args: ['mesh', '5'] },
  { name: MESH_50, args: ['mesh', '50'] },
  { name: TERMINUS_5, args: ['terminus', '5'] },
  { name: TERMINUS_50, args: ['terminus', '50'] },
].map((variant) => ({ ...variant, script }));

const { cost, ratio } = await raceServers(variants, '/health/ready');
print(
  'CPU time of one probe',
  variants.map(({ name }) => ({ name, ns: cost(name) * 1_000, ratio: ratio(name, MESH_5) })),
);
goal('50 contributors against 5', ratio(MESH_50, MESH_5), 1.2, ' x');
goal('50 contributors against Terminus alone with 50', ratio(MESH_50, TERMINUS_50), 0.5, ' x');
