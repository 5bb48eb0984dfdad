import { lastValueFrom, type Observable, of, throwError } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';
import { CircuitOpenError } from './resilience.errors.js';
import { wrapClient } from './wrap-client.js';

class Client {
  readonly name: string = 'ledger';
  calls = 0;
  failing = false;
  #secret = 'hidden';

  async read(id: number): Promise<string> {
    this.calls++;
    if (this.failing) throw new Error('callee down');
    return `${this.#secret} ${id}`;
  }

  write(): Promise<string> {
    this.calls++;
    return this.failing ? Promise.reject(new Error('callee down')) : Promise.resolve('written');
  }

  stream(): Observable<string> {
    this.calls++;
    return this.failing ? throwError(() => new Error('callee down')) : of('a');
  }

  async both(): Promise<string> {
    return `${await this.read(1)}, ${await this.write()}`;
  }

  describe(): string {
    return `client ${this.#secret}`;
  }
}

let fixture: ResilienceFixture;
let client: Client;
beforeEach(() => {
  const circuitBreaker = { failureRatio: 0.5, minimumCalls: 2 };
  fixture = new ResilienceFixture({
    policies: { ledger: { retry: false, circuitBreaker }, retried: { retry: { maxRetries: 1, delayMs: 10 } } },
  });
  client = new Client();
});
afterEach(() => fixture.close());

const wrapped = (options = {}): Client => wrapClient(fixture.manager.policy('ledger'), client, options);
const callsOf = (key?: string): number => fixture.manager.breaker('ledger', key).snapshot().calls;

describe('a wrapped client', () => {
  it('answers as the client does: promises, streams, values and fields', async () => {
    const ledger = wrapped();
    expect([await ledger.read(1), await ledger.write(), await lastValueFrom(ledger.stream())]).toEqual([
      'hidden 1',
      'written',
      'a',
    ]);
    expect([ledger.describe(), ledger.describe(), ledger.name, ledger instanceof Client]).toEqual([
      'client hidden',
      'client hidden',
      'ledger',
      true,
    ]);
  });

  it('shares one breaker among its methods', async () => {
    const ledger = wrapped();
    client.failing = true;
    await expect(ledger.read(1)).rejects.toThrow('callee down');
    await expect(lastValueFrom(ledger.stream())).rejects.toThrow('callee down');
    await expect(ledger.write()).rejects.toBeInstanceOf(CircuitOpenError);
    await expect(lastValueFrom(ledger.stream())).rejects.toBeInstanceOf(CircuitOpenError);
    expect(client.calls).toBe(2);
  });

  it('counts calls that the client makes to itself as part of the one call', async () => {
    expect(await wrapped().both()).toBe('hidden 1, written');
    expect(callsOf()).toBe(1);
  });

  it('runs only the named methods through the policy, and keeps the rest of the client', async () => {
    const ledger = wrapped({ methods: ['read'] });
    await ledger.write();
    expect(callsOf()).toBe(0);
    await ledger.read(1);
    expect(callsOf()).toBe(1);
  });

  it('keeps synchronous methods working while the circuit is open', async () => {
    const ledger = wrapped();
    ledger.describe();
    fixture.manager.breaker('ledger').isolate({ reason: 'maintenance' });
    expect(ledger.describe()).toBe('client hidden');
    await expect(ledger.read(1)).rejects.toMatchObject({ code: 'MESH_CIRCUIT_ISOLATED' });
  });

  it('keeps one breaker a key', async () => {
    const ledger = wrapped({ key: (method: string) => method });
    client.failing = true;
    await expect(ledger.read(1)).rejects.toThrow('callee down');
    await expect(ledger.read(1)).rejects.toThrow('callee down');
    client.failing = false;
    await expect(ledger.read(1)).rejects.toBeInstanceOf(CircuitOpenError);
    await expect(ledger.write()).resolves.toBe('written');
  });

  it('retries only the methods that are idempotent', async () => {
    const ledger = fixture.manager.policy('retried').wrap(client, { idempotent: ['read'] });
    client.failing = true;
    await expect(ledger.write()).rejects.toThrow('callee down');
    expect(client.calls).toBe(1);
    const result = expect(ledger.read(1)).rejects.toThrow('callee down');
    await fixture.clock.advance(1_000);
    await result;
    expect(client.calls).toBe(3);
  });

  it('gives back the same function each time, and follows a method that is replaced', async () => {
    const ledger = wrapped();
    expect(ledger.read).toBe(ledger.read);
    client.write = async () => 'replaced';
    expect(await ledger.write()).toBe('replaced');
  });

  it('is not taken for a promise', async () => {
    const ledger = wrapped();
    expect(await Promise.resolve(ledger)).toBe(ledger);
  });

  it('is refused for a frozen object', () => {
    expect(() => wrapClient(fixture.manager.policy('ledger'), Object.freeze(new Client()))).toThrow(
      `Policy "ledger" can't wrap a frozen object`,
    );
  });
});
