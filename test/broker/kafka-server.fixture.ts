import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { skipReason } from '../chaos/broker/chaos-server.js';
import { isInstalled } from '../chaos/broker/server-process.js';

/** Where it says at which port of its own choice it listens. */
const ADDRESS = /bootstrap\.servers=(127\.0\.0\.1:\d+)/;

/**
 * Kafka's protocol over TCP, groups and offsets included, from the cluster that librdkafka's own tests run against:
 * Debian's kcat brings it. It keeps everything in memory.
 */
export class KafkaServer {
  static readonly whyNot = skipReason(isInstalled('kcat', '-V'), 'kcat is not installed');
  readonly #process: ChildProcess;
  readonly address: string;

  private constructor(process: ChildProcess, address: string) {
    this.#process = process;
    this.address = address;
  }

  static async start(): Promise<KafkaServer> {
    // It serves as long as this consumer of it waits for messages. The address is replaced by its own.
    const args = ['-C', '-b', 'none', '-t', 'kept-open', '-X', 'test.mock.num.brokers=1', '-d', 'mock'];
    const child = spawn('kcat', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    for await (const text of child.stderr.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
      const [, address] = ADDRESS.exec((said += text)) ?? [];
      if (address === undefined) continue;
      child.stderr.resume();
      return new KafkaServer(child, address);
    }
    throw new Error(`kcat ended: ${said}`);
  }

  /** Its sockets stay open, and nothing answers any more. */
  hang(): void {
    this.#process.kill('SIGSTOP');
  }

  wake(): void {
    this.#process.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    const gone = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await gone;
  }
}
