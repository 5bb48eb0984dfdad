import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { NatsServer } from '../broker/nats-server.js';
import { RedisServer } from '../cache/redis-server.js';
import { freePort } from '../../free-port.js';
import { Instance, type Place } from './instance.js';
import { PaymentProvider } from './payment-provider.js';

/** Of each product, so that a long fire does not sell out. */
export const STOCKED = 1_000_000;

const WRITE_TOKEN = 'the-token-of-the-arsonist';
const OPERATOR = { authorization: `Bearer ${WRITE_TOKEN}`, 'x-mesh-ops': 'arsonist' };

export interface Sabotage {
  readonly environment?: NodeJS.ProcessEnv;
  /** Done once everything runs. */
  readonly spoil?: (fleet: BurningFleet) => Promise<void> | void;
}

/** The demo as five processes over servers of its own, of which everything can be broken. */
export class BurningFleet {
  readonly provider = new PaymentProvider();

  private constructor(
    readonly nats: NatsServer,
    readonly redis: RedisServer,
    readonly instances: readonly Instance[],
    public configFile: string,
  ) {}

  static async start(folder: string, sabotage?: Sabotage): Promise<BurningFleet> {
    mkdirSync(folder, { recursive: true });
    const undo: (() => Promise<unknown>)[] = [];
    try {
      const nats = await NatsServer.start();
      undo.push(() => nats.stop());
      const redis = await RedisServer.start();
      undo.push(() => redis.kill());
      const instances: Instance[] = [];
      const fleet = new BurningFleet(nats, redis, instances, `${folder}/gateway-1.json`);
      await fleet.provider.start();
      undo.push(() => fleet.provider.stop());
      undo.push(() => Promise.all(instances.map((instance) => instance.kill())));
      await fleet.#startInstances(instances, folder, sabotage?.environment);
      await sabotage?.spoil?.(fleet);
      return fleet;
    } catch (error) {
      await Promise.allSettled(undo.map((stop) => stop()));
      throw error;
    }
  }

  async #startInstances(instances: Instance[], folder: string, sabotage: NodeJS.ProcessEnv = {}): Promise<void> {
    const { nats, redis, provider, configFile } = this;
    writeFileSync(configFile, '{}');
    const environment = {
      MESH_BROKER__TRANSPORT: 'nats',
      MESH_BROKER__SERVERS: nats.url,
      // What was handed to a process that is killed is due again after this time.
      MESH_BROKER__JETSTREAM__ACK_WAIT_MS: '3000',
      MESH_BROKER__PING_INTERVAL_MS: '1000',
      MESH_BROKER__DEDUPE__REDIS_URL: redis.url,
      MESH_CACHE__REDIS__URL: redis.url,
      MESH_LOGGING__LEVEL: 'info',
      MESH_OPS__TOKENS__WRITE: WRITE_TOKEN,
      // Behind a load balancer: it goes on serving until that has noticed.
      MESH_LIFECYCLE__SHUTDOWN__PRE_STOP: 'always',
      MESH_LIFECYCLE__SHUTDOWN__PRE_STOP_MS: '1500',
      PROVIDER_URL: provider.url,
      SHOP_STOCKED: String(STOCKED),
      // Longer than it takes to place an order; and soon nothing but the log tells what is sold.
      SHOP_HELD_FOR_MS: '5000',
      ...sabotage,
    };
    const places: readonly (readonly [string, Place['app'], NodeJS.ProcessEnv?])[] = [
      ['gateway-1', 'gateway', { MESH_CONFIG_FILE: configFile }],
      ['gateway-2', 'gateway'],
      ['inventory-1', 'inventory'],
      ['payments-1', 'payments'],
      ['payments-2', 'payments'],
    ];
    for (const [name, app, own] of places)
      instances.push(
        new Instance({ name, app, port: await freePort(), environment: { ...environment, ...own }, folder }),
      );
    for (const instance of instances) instance.start();
    await Promise.all(instances.map((instance) => instance.ready()));
  }

  get gateways(): readonly Instance[] {
    return this.instances.filter(({ app }) => app === 'gateway');
  }

  instance(name: string): Instance {
    return this.instances.find((instance) => instance.name === name)!;
  }

  /** Put in its place by renaming, as deployments do, so that nobody reads half of it. */
  writeConfig(text: string): void {
    writeFileSync(`${this.configFile}.new`, text);
    renameSync(`${this.configFile}.new`, this.configFile);
  }

  /** Over the operators' endpoint. */
  async patchConfig(instance: Instance, patch: object): Promise<number> {
    const answer = await fetch(`${instance.url}/mesh/config?healthWindowMs=0`, {
      method: 'PATCH',
      headers: { ...OPERATOR, 'content-type': 'application/json' },
      body: JSON.stringify(patch),
      signal: AbortSignal.timeout(20_000),
    });
    await answer.body?.cancel();
    return answer.status;
  }

  async ask(instance: Instance, path: string): Promise<Record<string, unknown>> {
    return (await (await instance.get(path, OPERATOR)).json()) as Record<string, unknown>;
  }

  async stop(): Promise<void> {
    this.provider.recover();
    this.redis.resume();
    this.nats.resume();
    await Promise.all(this.gateways.map((gateway) => gateway.stop()));
    await Promise.all(this.instances.map((instance) => instance.stop()));
    await Promise.all([this.nats.stop(), this.redis.kill(), this.provider.stop()]);
  }
}
