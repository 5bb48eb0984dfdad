import { Agent, get, type IncomingMessage } from 'node:http';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastValueFrom } from 'rxjs';
import { ClientProxyFactory, Transport } from '@nestjs/microservices';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ChildBuild, type Child } from './child/process.js';
import type { ChildSpec } from './child/spec.js';

let build: ChildBuild;
const children: Child[] = [];

beforeAll(async () => {
  build = await ChildBuild.create();
}, 60_000);

afterAll(() => build.remove());

afterEach(async () => {
  for (const child of children) child.kill();
  await Promise.all(children.splice(0).map(({ ended }) => ended));
});

function start(spec: ChildSpec, environment?: Record<string, string>): Child {
  const child = build.start(spec, environment);
  children.push(child);
  return child;
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
/** Past the time in which a repeated signal counts as the same one. */
const nextSignal = (): Promise<void> => wait(550);

function request(port: number, path: string, agent: Agent): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    get({ port, path, agent, host: '127.0.0.1' }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode, body }));
      response.on('error', reject);
    }).on('error', reject);
  });
}

function openStream(port: number, agent: Agent): Promise<{ ended: Promise<string> }> {
  return new Promise((resolve, reject) => {
    get({ port, path: '/ticks', agent, host: '127.0.0.1' }, (response: IncomingMessage) => {
      let text = '';
      const ended = new Promise<string>((end, fail) => {
        response.on('end', () => end(text));
        response.on('error', fail);
      });
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      resolve({ ended });
    }).on('error', reject);
  });
}

describe.each(['express', 'fastify'] as const)('SIGTERM to an HTTP application on %s', (kind) => {
  it('loses none of 200 requests on kept-alive connections, ends the event stream, and ends by the signal', async () => {
    const child = start({ kind });
    const port = await child.port();
    const agent = new Agent({ keepAlive: true });
    await request(port, '/work?ms=1', agent);
    const stream = await openStream(port, agent);
    const slow = request(port, '/work?ms=1500', agent);
    const requests = Array.from({ length: 200 }, (_, index) => request(port, `/work?ms=${200 + index}`, agent));
    // Every request has arrived when its handler has said so: the first one, the slow one and the 200.
    while (child.said.filter((line) => line === 'working').length < 202) await wait(5);
    child.signal('SIGTERM');
    const answers = await Promise.all([...requests, slow]);
    expect(answers.every(({ status, body }) => status === 200 && body === '{"doubled":42}')).toBe(true);
    expect(await stream.ended).toMatch(/retry: 1000\n\n$/);
    const { signal, tookMs } = await child.ended;
    expect(signal).toBe('SIGTERM');
    expect(tookMs).toBeLessThan(4_000);
    agent.destroy();
  }, 30_000);

  it("stops the components after the application's own hooks, and loses no log line", async () => {
    const child = start({ kind });
    await child.port();
    child.signal('SIGTERM');
    await child.ended;
    const steps = ['destroy', 'shutdown by SIGTERM', 'ledger stop'];
    expect(child.said.filter((line) => steps.includes(line))).toEqual(steps);
    expect(child.log.at(-1)).toMatchObject({ event: 'lifecycle.phase', phase: 'stopped' });
    expect(child.errors).toBe('');
  }, 30_000);

  it('loses no log line of a transport in a worker thread', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mesh-worker-log-'));
    const child = start({ kind, workerLog: join(folder, 'log') });
    await child.port();
    child.signal('SIGTERM');
    await child.ended;
    const lines = (await readFile(join(folder, 'log'), 'utf8')).trimEnd().split('\n');
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ event: 'lifecycle.phase', phase: 'stopped' });
    await rm(folder, { recursive: true });
  }, 30_000);

  it.each([
    ['component', ['init', 'bootstrap', 'ledger start'], ['ledger stop']],
    ['onModuleInit', ['init'], ['destroy']],
    ['onApplicationBootstrap', ['init', 'ledger start', 'bootstrap'], ['destroy', 'ledger stop']],
  ] as const)(
    'during the start, in a slow %s, takes the start back',
    async (where, before, after) => {
      const child = start({ kind, slow: { where, ms: 700 } });
      await child.says(before.at(-1)!);
      child.signal('SIGTERM');
      const { signal, tookMs } = await child.ended;
      expect(signal).toBe('SIGTERM');
      expect(tookMs).toBeLessThan(4_000);
      expect(child.said).toEqual(expect.arrayContaining([...after]));
      expect(child.said.some((line) => line.startsWith('listening'))).toBe(false);
      expect(child.errors).toBe('');
    },
    30_000,
  );
});

describe('Repeated signals', () => {
  it('hurry at the second: the request in flight is given up after a second', async () => {
    const child = start({ kind: 'express' });
    const port = await child.port();
    const agent = new Agent();
    const slow = request(port, '/work?ms=60000', agent);
    slow.catch(() => undefined);
    await child.says('working');
    child.signal('SIGTERM');
    await nextSignal();
    child.signal('SIGTERM');
    const { signal, tookMs } = await child.ended;
    expect(signal).toBe('SIGTERM');
    expect(tookMs).toBeGreaterThan(1_500);
    expect(tookMs).toBeLessThan(6_000);
    await expect(slow).rejects.toThrow();
  }, 30_000);

  it('end the process at the third, at once, with exit code 1', async () => {
    const child = start({ kind: 'express' });
    const port = await child.port();
    const slow = request(port, '/work?ms=60000', new Agent());
    slow.catch(() => undefined);
    await child.says('working');
    for (let count = 0; count < 3; count++) {
      if (count > 0) await nextSignal();
      child.signal('SIGINT');
    }
    const { code, tookMs } = await child.ended;
    expect(code).toBe(1);
    expect(tookMs).toBeLessThan(5_000);
    expect(child.errors).toContain('SIGINT for the third time');
  }, 30_000);

  it('count once when they come together, as from a terminal and a launcher', async () => {
    const child = start({ kind: 'express' });
    const port = await child.port();
    const slow = request(port, '/work?ms=1800', new Agent());
    await child.says('working');
    child.signal('SIGINT');
    await wait(50);
    child.signal('SIGINT');
    await wait(50);
    child.signal('SIGTERM');
    expect((await slow).status).toBe(200);
    expect((await child.ended).signal).toBe('SIGINT');
  }, 30_000);
});

describe('A shutdown that hangs', () => {
  const lifecycle = {
    shutdown: { totalMs: 2_500, preStopMs: 0, drainMs: 500, hurriedDrainMs: 200, abortMs: 200, componentMs: 500 },
  };

  it('past its budget says who, and exits with 1', async () => {
    const child = start({ kind: 'express', hang: 'onModuleDestroy', lifecycle });
    await child.port();
    child.signal('SIGTERM');
    const { code, tookMs } = await child.ended;
    expect(code).toBe(1);
    expect(tookMs).toBeLessThan(4_000);
    expect(child.errors).toContain("hanging: a shutdown hook of the application's own code");
  }, 30_000);

  it('in a component goes on without it', async () => {
    const child = start({ kind: 'express', hang: 'component', lifecycle });
    await child.port();
    child.signal('SIGTERM');
    expect((await child.ended).signal).toBe('SIGTERM');
    const components = child.log.find(({ phase }) => phase === 'components');
    expect(components).toMatchObject({ unfinished: ['ledger'] });
  }, 30_000);
});

describe('A start that hangs', () => {
  it('in a hook of the application, with nothing left that could end it, is told and exits with 1', async () => {
    const child = start({ kind: 'express', hang: 'onModuleInit' });
    expect((await child.ended).code).toBe(1);
    expect(child.errors).toContain('the process ends before the application has started: an onModuleInit');
  }, 30_000);
});

describe("The application's own shutdown hooks", () => {
  it('find the mesh usable: what onModuleDestroy publishes is handled', async () => {
    const child = start({ kind: 'express' });
    await child.port();
    child.signal('SIGTERM');
    await child.ended;
    expect(child.said).toEqual(expect.arrayContaining(['published', 'bye received from onModuleDestroy']));
  }, 30_000);
});

describe('Other kinds of application', () => {
  it('a standalone context stops by a signal', async () => {
    const child = start({ kind: 'context' });
    await child.port();
    child.signal('SIGTERM');
    expect((await child.ended).signal).toBe('SIGTERM');
    expect(child.said.at(-1)).toBe('ledger stop');
    expect(child.log.at(-1)).toMatchObject({ phase: 'stopped' });
  }, 30_000);

  it('a TCP microservice finishes the handler that runs, and its caller gets the reply', async () => {
    const child = start({ kind: 'tcp' });
    const port = await child.port();
    const client = ClientProxyFactory.create({ transport: Transport.TCP, options: { port, host: '127.0.0.1' } });
    const reply = lastValueFrom(client.send<string>('slow', 800));
    reply.catch(() => undefined);
    await child.says('working');
    child.signal('SIGTERM');
    expect(await reply).toBe('done');
    expect((await child.ended).signal).toBe('SIGTERM');
    client.close();
  }, 30_000);

  it('two applications in one process: the one that is done first waits for the other', async () => {
    const child = start({ kind: 'two' });
    await child.port();
    while (child.ports.length < 2) await wait(5);
    const slow = request(child.ports[1]!, '/work?ms=2500', new Agent());
    await child.says('working');
    child.signal('SIGTERM');
    expect((await slow).status).toBe(200);
    expect((await child.ended).signal).toBe('SIGTERM');
  }, 30_000);

  it('one in whose process somebody else listens to the signal ends all the same, with its exit code', async () => {
    const child = start({ kind: 'express', otherListener: true });
    await child.port();
    child.signal('SIGTERM');
    expect((await child.ended).code).toBe(143);
    expect(child.said.filter((line) => line === 'heard SIGTERM')).toHaveLength(1);
  }, 30_000);

  it('in Kubernetes keeps serving before it drains', async () => {
    const child = start(
      { kind: 'express', lifecycle: { shutdown: { preStopMs: 1_500 } } },
      { KUBERNETES_SERVICE_HOST: '10.0.0.1' },
    );
    const port = await child.port();
    child.signal('SIGTERM');
    await wait(250);
    expect((await request(port, '/health/ready', new Agent())).status).toBe(503);
    expect((await request(port, '/work?ms=1', new Agent())).status).toBe(200);
    const { tookMs } = await child.ended;
    expect(tookMs).toBeGreaterThan(1_500);
  }, 30_000);
});
