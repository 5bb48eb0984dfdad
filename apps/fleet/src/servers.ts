import { connect } from 'node:net';

const ANSWERS_WITHIN_MS = 2_000;

/** What the fleet needs beside itself. */
export interface Server {
  readonly name: string;
  readonly url: string;
  /** What to do when it does not answer as it should. */
  readonly advice: string;
  /** Asks it; `undefined` when its greeting is the question. */
  readonly question?: string;
  readonly expected: RegExp;
}

export function serversOf(environment: NodeJS.ProcessEnv): { readonly nats: Server; readonly redis: Server } {
  return {
    nats: {
      name: 'NATS with JetStream',
      url: environment['NATS_URL'] ?? 'nats://127.0.0.1:4222',
      advice: 'start it with: nats-server -js    (or point NATS_URL to one)',
      expected: /"jetstream":\s*true/,
    },
    redis: {
      name: 'Redis',
      url: environment['REDIS_URL'] ?? 'redis://127.0.0.1:6379',
      advice: 'start it with: redis-server    (or point REDIS_URL to one)',
      question: 'PING\r\n',
      // One that wants a password first is there as well.
      expected: /^(?:\+PONG|-NOAUTH)/,
    },
  };
}

/** Why the server can't be used, or `undefined` when it answers. */
export async function problemOf({ name, url, advice, question, expected }: Server): Promise<string | undefined> {
  const answer = await greet(new URL(url), question).catch((error: Error) => error);
  if (typeof answer === 'string' && expected.test(answer)) return undefined;
  const found = answer instanceof Error ? `does not answer (${answer.message})` : 'is something else';
  return `${name} at ${new URL(url).host} ${found}; ${advice}`;
}

/** The first thing that the server says. */
function greet({ hostname, port }: URL, question: string | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    socket.setTimeout(ANSWERS_WITHIN_MS, () => socket.destroy(new Error(`nothing within ${ANSWERS_WITHIN_MS} ms`)));
    if (question !== undefined) socket.write(question);
    socket.once('data', (answer) => {
      resolve(answer.toString());
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('it closed the connection')));
  });
}
