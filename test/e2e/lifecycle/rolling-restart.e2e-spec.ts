import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Child, ChildBuild } from './child/process.js';

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The application as a pod would have it, with waits that fit a test: the proxy looks at readiness every 50 ms. */
const lifecycle = { shutdown: { preStop: 'always', preStopMs: 400 } };
const READINESS_EVERY_MS = 50;

/** A small load balancer: round robin over the instances that are ready, over kept-alive connections. Never tries twice. */
class Proxy {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #ports = new Map<number, boolean>();
  readonly #server: Server = createServer((request, response) => this.#forward(request, response));
  #next = 0;
  #probing = true;

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    void this.#probe();
    return (this.#server.address() as AddressInfo).port;
  }

  add(port: number): void {
    this.#ports.set(port, false);
  }

  async serving(port: number): Promise<void> {
    while (!this.#ports.get(port)) await wait(10);
  }

  close(): void {
    this.#probing = false;
    this.#server.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
  }

  async #probe(): Promise<void> {
    while (this.#probing) {
      await Promise.all(
        [...this.#ports.keys()].map(async (port) => {
          const ready = await fetch(`http://127.0.0.1:${port}/health/ready`).then(
            ({ status }) => status === 200,
            () => false,
          );
          this.#ports.set(port, ready);
        }),
      );
      await wait(READINESS_EVERY_MS);
    }
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const ready = [...this.#ports].filter(([, isReady]) => isReady);
    const [port] = ready[this.#next++ % ready.length] ?? [0];
    const onward = httpRequest({ port, host: '127.0.0.1', path: request.url, agent: this.#agent }, (answer) => {
      response.writeHead(answer.statusCode ?? 502);
      answer.pipe(response);
      answer.on('error', () => response.destroy());
    });
    onward.on('error', (error) => response.writeHead(502).end(error.message));
    onward.end();
  }
}

describe('A rolling restart of three instances', () => {
  let build: ChildBuild;
  const children: Child[] = [];
  const proxy = new Proxy();

  beforeAll(async () => {
    build = await ChildBuild.create();
  }, 60_000);

  afterEach(async () => {
    proxy.close();
    for (const child of children) child.kill();
    await Promise.all(children.map(({ ended }) => ended));
  });

  afterAll(() => build.remove());

  async function start(kind: 'express' | 'fastify'): Promise<Child> {
    const child = build.start({ kind, lifecycle });
    children.push(child);
    const port = await child.port();
    proxy.add(port);
    await proxy.serving(port);
    return child;
  }

  it('fails no request under steady load', async () => {
    const port = await proxy.listen();
    const running = [await start('express'), await start('fastify'), await start('express')];
    const answers: Promise<string>[] = [];
    const load = new AbortController();
    const loading = (async () => {
      for (let count = 0; !load.signal.aborted; count++) {
        const call = fetch(`http://127.0.0.1:${port}/work?ms=${(count * 37) % 300}`);
        answers.push(
          call.then(
            async (response) => `${response.status} ${await response.text()}`,
            (error: Error) => error.message,
          ),
        );
        await wait(10);
      }
    })();
    for (const old of running) {
      await start('fastify');
      old.signal('SIGTERM');
      expect((await old.ended).signal).toBe('SIGTERM');
    }
    load.abort();
    await loading;
    const outcomes = await Promise.all(answers);
    expect(outcomes.length).toBeGreaterThan(200);
    expect(outcomes.filter((outcome) => outcome !== '200 {"doubled":42}')).toEqual([]);
  }, 60_000);
});
