import type { Observable } from 'rxjs';
import type { MeshFetch } from '../../libs/mesh/src/resilience/http/mesh-fetch.js';
import { wrapClient } from '../../libs/mesh/src/resilience/wrap-client.js';
import type { ResiliencePolicy } from '../../libs/mesh/src/resilience/resilience-policy.js';

declare const policy: ResiliencePolicy;
declare const http: MeshFetch;
declare class Ledger {
  readonly name: string;
  read(id: number): Promise<string>;
  changes(): Observable<number>;
  describe(): string;
}

/** A wrapped client has the type of the client, and only asynchronous methods can be named. */
export function clients(ledger: Ledger): void {
  const wrapped: Ledger = wrapClient(policy, ledger, { methods: ['read', 'changes'], idempotent: ['read'] });
  const text: Promise<string> = wrapped.read(1);
  const all: Ledger = policy.wrap(ledger, { idempotent: true, key: (method) => method });
  // @ts-expect-error a synchronous method can't go through a policy
  wrapClient(policy, ledger, { methods: ['describe'] });
  // @ts-expect-error nor can a field
  policy.wrap(ledger, { idempotent: ['name'] });
  void [text, all];
}

/** `fetch` gives back a response, or what `read` makes of it. */
export function fetching(): void {
  const response: Promise<Response> = http.fetch('catalog', 'http://catalog', { method: 'PUT', idempotent: true });
  const length: Promise<number> = http.fetch(policy, new URL('http://catalog'), {
    read: async (answer) => (await answer.text()).length,
  });
  // @ts-expect-error what was read is not a response any more
  const wrong: Promise<Response> = http.fetch('catalog', 'http://catalog', { read: (answer) => answer.status });
  void [response, length, wrong];
}

/** `execute` gives back what the function resolves with. */
export function executing(): void {
  const value: Promise<number> = policy.execute(async ({ attempt, remainingMs }) => attempt + remainingMs);
  // @ts-expect-error not a string
  const wrong: Promise<string> = policy.execute(async () => 1);
  void [value, wrong];
}
