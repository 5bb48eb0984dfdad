import { thingsToTry } from '../../shop/src/things-to-try.js';
import { Fleet } from './fleet.js';
import { problemOf, serversOf } from './servers.js';

const { nats, redis } = serversOf(process.env);
const problems = (await Promise.all([nats, redis].map(problemOf))).filter((problem) => problem !== undefined);
if (problems.length > 0) {
  process.stderr.write(`The fleet needs servers that are not there:\n\n  ${problems.join('\n  ')}\n\n`);
  process.exit(1);
}

const port = Number(process.env['PORT'] ?? 3000);
// The code of the three is that of the shop in one process: only their configuration says that they are apart.
const fleet = new Fleet(
  [
    { name: 'gateway', port },
    { name: 'inventory', port: Number(process.env['INVENTORY_PORT'] ?? 3001) },
    { name: 'payments', port: Number(process.env['PAYMENTS_PORT'] ?? 3002) },
  ],
  {
    MESH_BROKER__TRANSPORT: 'nats',
    MESH_BROKER__SERVERS: nats.url,
    MESH_BROKER__DEDUPE__REDIS_URL: redis.url,
    MESH_CACHE__REDIS__URL: redis.url,
    ...process.env,
  },
);

// The second one is for the impatient.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    process.once(signal, () => fleet.kill());
    void fleet.stop();
  });
}

const lost = fleet.firstLoss().catch(async (error: Error) => {
  process.stderr.write(`${error.message} The others are stopped too.\n`);
  process.exitCode = 1;
  await fleet.stop();
});
await Promise.race([fleet.ready(), lost]);
if (process.exitCode === undefined)
  process.stdout.write(thingsToTry(`http://localhost:${port}`) + fleetThingsToTry(port));

function fleetThingsToTry(gatewayPort: number): string {
  return `\
The gateway, inventory and payments are three processes over ${nats.url} and ${redis.url}.

  # Kill NATS (kill -9) and order: 503 with a code, or 202. Start it again: every order that was accepted gets paid.
  curl -si http://localhost:${gatewayPort}/orders -H 'content-type: application/json' -d '{"productId":"kettle","quantity":1}'

`;
}
