import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Child, ChildBuild } from '../lifecycle/child/process.js';
import type { ChildSpec } from '../lifecycle/child/spec.js';

let build: ChildBuild;
let child: Child | undefined;

beforeAll(async () => {
  build = await ChildBuild.create();
}, 60_000);
afterAll(() => build.remove());
afterEach(async () => {
  child?.kill();
  await child?.ended;
});

const GROUPS = ['live', 'ready', 'startup'] as const;

/** Probes like a kubelet, each group by itself, and keeps what it was answered with: repeats count once. */
class Kubelet {
  readonly answers: Record<(typeof GROUPS)[number], string[]> = { live: [], ready: [], startup: [] };
  readonly #stopped = new AbortController();
  readonly #running: Promise<unknown>;

  constructor(port: number) {
    this.#running = Promise.all(GROUPS.map((group) => this.#probe(port, group)));
  }

  /** Resolves when the latest answers are these, of live, ready and startup. */
  async sees(...codes: readonly [live: string, ready: string, startup: string]): Promise<void> {
    const latest = () => GROUPS.map((group) => this.answers[group].at(-1));
    await expect.poll(latest, { interval: 5, timeout: 10_000 }).toEqual(codes);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  async #probe(port: number, group: (typeof GROUPS)[number]): Promise<void> {
    const answers = this.answers[group];
    while (!this.#stopped.signal.aborted) {
      const code = await codeOf(port, group);
      // Outside of its life nobody is there to answer.
      if (code !== undefined && code !== answers.at(-1)) answers.push(code);
      await sleep(5);
    }
  }
}

/** As the kubelet: a connection each time. */
async function codeOf(port: number, group: string): Promise<string | undefined> {
  try {
    const { status } = await fetch(`http://127.0.0.1:${port}/health/${group}`, { headers: { connection: 'close' } });
    return String(status);
  } catch {
    return undefined;
  }
}

function start(spec: ChildSpec, environment: Record<string, string> = {}): Child {
  child = build.start(spec, environment);
  return child;
}

/** The port that answers probes, as the log tells it, before the application itself listens. */
async function opsPort(of: Child): Promise<number> {
  const line = () => of.log.find(({ event }) => event === 'ops.listening');
  await expect.poll(line, { interval: 5, timeout: 10_000 }).toBeDefined();
  return line()!['port'] as number;
}

const shutdown = { preStop: 'always', preStopMs: 400 } as const;

describe.each(['express', 'fastify'] as const)('a pod on %s under the probes of its node', (kind) => {
  it('is started late, ready then, and out of rotation but live from the signal to its end', async () => {
    const pod = start(
      { kind, slow: { where: 'onApplicationBootstrap', ms: 500 }, lifecycle: { shutdown } },
      { MESH_OPS__PORT: '0' },
    );
    const kubelet = new Kubelet(await opsPort(pod));
    await kubelet.sees('200', '503', '503');
    expect(pod.said).not.toContain('listening');
    const port = await pod.port();
    await kubelet.sees('200', '200', '200');

    // Work that is still running when the pre-stop delay is over.
    const work = fetch(`http://127.0.0.1:${port}/work?ms=900`);
    await pod.says('working');
    pod.signal('SIGTERM');
    const signalledAt = performance.now();
    await kubelet.sees('200', '503', '200');
    expect(performance.now() - signalledAt).toBeLessThan(shutdown.preStopMs);
    // Load balancers that have not heard of it yet still send requests.
    expect((await fetch(`http://127.0.0.1:${port}/work?ms=1`)).status).toBe(200);
    expect(await (await work).json()).toEqual({ doubled: 42 });
    await pod.ended;
    await kubelet.stop();
    expect(kubelet.answers).toEqual({ live: ['200'], ready: ['503', '200', '503'], startup: ['503', '200'] });
  }, 30_000);

  it("answers on the application's own port until that closes", async () => {
    const pod = start({ kind, lifecycle: { shutdown } });
    const kubelet = new Kubelet(await pod.port());
    await kubelet.sees('200', '200', '200');
    pod.signal('SIGTERM');
    await kubelet.sees('200', '503', '200');
    await pod.ended;
    await kubelet.stop();
    expect(kubelet.answers).toEqual({ live: ['200'], ready: ['200', '503'], startup: ['200'] });
  }, 30_000);

  it('is never ready when the signal comes during its start', async () => {
    const pod = start(
      { kind, slow: { where: 'component', ms: 5_000 }, lifecycle: { shutdown } },
      { MESH_OPS__PORT: '0' },
    );
    const kubelet = new Kubelet(await opsPort(pod));
    await kubelet.sees('200', '503', '503');
    pod.signal('SIGTERM');
    await pod.ended;
    await kubelet.stop();
    expect(kubelet.answers).toEqual({ live: ['200'], ready: ['503'], startup: ['503'] });
  }, 30_000);
});
