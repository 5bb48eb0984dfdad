import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { snippetsOf } from './snippets.js';

// That its quick start works is shown in test/package, where it runs in applications of its own.
/** The rows of the table of costs, by their ends: each says what these rows of docs/benchmarks.md measured. */
const costs: Readonly<Record<string, readonly string[]>> = {
  opossum: ['breaker + timeout, x opossum'],
  cockatiel: ['full pipeline, x cockatiel'],
  "Moleculer's default call": [
    "plain, in a call with a deadline, x Moleculer's default call",
    "plain, x Moleculer's default call",
  ],
  'Moleculer with everything on': [
    'everything on, in a call with a deadline, x Moleculer with everything on',
    'everything on, x Moleculer with everything on',
  ],
  "Nest's `ClientProxy`, which has nothing of it": [
    "everything on, in a call with a deadline, x Nest's ClientProxy",
    "everything on, x Nest's ClientProxy",
  ],
  "Nest's RabbitMQ transport": ["RabbitMQ, 64 in flight, time of Nest's"],
  "Nest's NATS transport, Moleculer": ["NATS, 64 in flight, time of Nest's", "NATS, 64 in flight, time of Moleculer's"],
  'cache-manager': ['getOrSet hit against CACHE_MANAGER.wrap'],
  'Nest on Fastify, without them': ['request metrics, context and correlation id against Nest on Fastify'],
  'nestjs-pino': ['with the access log against nestjs-pino'],
};

const rowsOf = (path: string): string[][] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|').map((cell) => cell.trim()));

describe('the README', () => {
  it('has a quick start of at most 30 lines', () => {
    const files = snippetsOf('README.md').filter(({ file }) => file?.startsWith('src/'));
    const lines = files.flatMap(({ code }) => code.split('\n')).filter((line) => line.trim() !== '');

    expect(files.map(({ file }) => file)).toEqual(['src/app.module.ts', 'src/main.ts']);
    expect(lines.length).toBeLessThanOrEqual(30);
  });

  it('is under 200 lines', () => {
    expect(readFileSync('README.md', 'utf8').split('\n').length).toBeLessThan(200);
  });

  it('states the costs of the last run of the benchmarks', () => {
    const measured = new Map(rowsOf('docs/benchmarks.md').map(([, what, value]) => [what, parseFloat(value!)]));
    const stated = rowsOf('README.md').filter(([, , there]) => Object.hasOwn(costs, there!));
    expect(stated.map(([, , there, here]) => [there, here])).toEqual(
      Object.entries(costs).map(([there, goals]) => [
        there,
        goals.map((goal) => measured.get(goal)!.toFixed(2)).join(', '),
      ]),
    );
  });
});
