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

  it('throws what a synchronous method throws, from its very first call on', async () => {
    const parser = wrapClient(fixture.manager.policy('retried'), {
      parse: (text: string) => JSON.parse(text) as unknown,
    });
    expect(() => parser.parse('{')).toThrow(SyntaxError);
    expect(parser.parse('{}')).toEqual({});
    expect(() => parser.parse('{')).toThrow(SyntaxError);
    await fixture.clock.advance(100);
    expect(fixture.manager.breaker('retried').snapshot()).toMatchObject({ failures: 0 });
  });

  it('sets what is set on it on the client itself, by its own setters too', () => {
    class Tuned {
      #limit = 1;
      label = '';
      get limit(): number {
        return this.#limit;
      }
      set limit(limit: number) {
        this.#limit = limit;
      }
    }
    const bare = new Tuned();
    const tuned = wrapClient(fixture.manager.policy('ledger'), bare);
    tuned.limit = 2;
    tuned.label = 'b';
    expect([bare.limit, bare.label]).toEqual([2, 'b']);
  });

  it('says of a read-only method that it cannot be wrapped, unless it is not asked to', async () => {
    const bare = Object.defineProperty(
      { write: async () => 'written' } as Record<'read' | 'write', () => Promise<string>>,
      'read',
      {
        value: async () => 'read',
      },
    );
    expect(() => wrapClient(fixture.manager.policy('ledger'), bare).read()).toThrow(
      'the method "read", which is read-only',
    );
    const ledger = wrapClient(fixture.manager.policy('ledger'), bare, { methods: ['write'] });
    expect([await ledger.read(), await ledger.write()]).toEqual(['read', 'written']);
  });
});
