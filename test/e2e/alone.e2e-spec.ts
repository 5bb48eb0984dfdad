import { spawn, type ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';

let child: ChildProcess | undefined;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts one application of the demo as its own process and waits until it is ready. */
async function start(app: string): Promise<string> {
  const port = await freePort();
  child = spawn(process.execPath, [`dist/apps/${app}/src/main.js`], { env: { ...process.env, PORT: String(port) } });
  const exited = new Promise<never>((_, reject) =>
    child!.once('exit', (code) => reject(new Error(`${app} exited with ${code}`))),
  );
  const url = `http://127.0.0.1:${port}`;
  const ready = async (): Promise<void> => {
    while (
      !(await fetch(`${url}/health/ready`).then(
        (answer) => answer.ok,
        () => false,
      ))
    )
      await new Promise(setImmediate);
  };
  await Promise.race([ready(), exited]);
  return url;
}

afterEach(async () => {
  if (!child) return;
  const exited = new Promise((resolve) => child!.once('exit', resolve));
  child.kill('SIGTERM');
  await exited;
});

describe('an application of the demo alone, without a transport', () => {
  it('gateway starts, and answers a typed 503 for what it cannot reach', { timeout: 30_000 }, async () => {
    const url = await start('gateway');
    const answer = await fetch(`${url}/products`);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ code: 'MESH_NO_RESPONDER', retryable: true });
  });

  it.each(['inventory', 'payments'])('%s starts and is ready', { timeout: 30_000 }, async (app) => {
    await start(app);
  });
});
