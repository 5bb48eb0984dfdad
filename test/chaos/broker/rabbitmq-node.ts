import { existsSync, mkdtempSync, realpathSync, writeFileSync } from 'node:fs';
import { spawn, type ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../free-port.js';
import { type BrokerInput, type ServerKind, skipReason } from './chaos-server.js';
import { OwnServer, type OwnServerParts } from './own-server.js';
import { HELLO, isAcknowledgement } from './rabbitmq-server.js';
import { ServerProcess } from './server-process.js';
import { Wire } from './wire.js';

/** The script itself: what packages put into the path may be a wrapper that changes the user and drops the environment. */
const script = ['/usr/lib/rabbitmq/bin', ...(process.env['PATH'] ?? '').split(':')]
  .map((folder) => join(folder, 'rabbitmq-server'))
  .find((path) => existsSync(path));

/** A private RabbitMQ with its own Erlang port mapper on free ports, whose store outlives it. It takes seconds to start. */
export class RabbitMqNode extends OwnServer {
  readonly #portMapper: ChildProcess;

  private constructor(parts: OwnServerParts, portMapper: ChildProcess) {
    super(parts);
    this.#portMapper = portMapper;
  }

  static async start(): Promise<RabbitMqNode> {
    const [port, distributionPort, mapperPort] = [await freePort(), await freePort(), await freePort()];
    const folder = mkdtempSync(join(tmpdir(), 'mesh-rabbitmq-'));
    const plugins = join(folder, 'plugins');
    writeFileSync(plugins, '[].');
    // In the foreground, so that it ends with us: RabbitMQ would start one that stays.
    const portMapper = spawn('epmd', ['-port', String(mapperPort), '-address', '127.0.0.1'], { stdio: 'ignore' });
    const process = new ServerProcess({
      program: realpathSync(script!),
      args: [],
      port,
      hello: HELLO,
      env: {
        HOME: folder,
        ERL_EPMD_PORT: String(mapperPort),
        ERL_EPMD_ADDRESS: '127.0.0.1',
        RABBITMQ_NODENAME: `mesh-${port}@localhost`,
        RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
        RABBITMQ_NODE_PORT: String(port),
        RABBITMQ_DIST_PORT: String(distributionPort),
        RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
        RABBITMQ_LOG_BASE: join(folder, 'log'),
        RABBITMQ_CONFIG_FILE: join(folder, 'none'),
        RABBITMQ_CONF_ENV_FILE: join(folder, 'none'),
        RABBITMQ_ENABLED_PLUGINS_FILE: plugins,
      },
    });
    const node = new RabbitMqNode({ folder, process, wire: await Wire.to(port), isAcknowledgement }, portMapper);
    await node.start();
    return node;
  }

  override options(names: string): BrokerInput {
    const servers = `amqp://guest:guest@127.0.0.1:${this.port}`;
    return { transport: 'rabbitmq', servers, namePrefix: names, heartbeatMs: 1_000 };
  }

  override async stop(): Promise<void> {
    await super.stop();
    this.#portMapper.kill();
  }
}

export const rabbitMqNode: ServerKind = {
  name: 'RabbitMQ, a node of our own',
  whyNot: skipReason(script !== undefined, 'rabbitmq-server is not installed'),
  // It notes the members of a new quorum queue in a file that it writes out some seconds later. Killed before, a single
  // node comes back with a queue that never finds a leader.
  settleMs: 6_000,
  start: () => RabbitMqNode.start(),
};
