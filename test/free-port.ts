import { createServer } from 'node:net';

/** Below the ports that Linux gives to outgoing connections: one of those could take it before its server listens. */
const FIRST = 10_000;
const LAST = 32_000;
/** Test files run side by side, each in a process of its own: each begins elsewhere, and none asks for so many. */
const PER_PROCESS = 110;

let next = FIRST + ((process.pid * PER_PROCESS) % (LAST - FIRST));

/** A port of this machine that nothing listens on, and that no other test is given. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = next;
    next = next < LAST ? next + 1 : FIRST;
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}
