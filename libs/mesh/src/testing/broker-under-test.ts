import assert from 'node:assert/strict';
import type { MessageBroker, MessageServer } from '../core/broker.port.js';
import { isMeshError } from '../core/mesh.error.js';

export { clock, eventually } from './conformance-case.js';

/** One broker of the kind under test, connected and consuming. */
export interface BrokerUnderTest {
  readonly broker: MessageBroker & MessageServer;
  /** How many messages a stuck subscription may pile up before `publish` is refused; absent where the server keeps them. */
  readonly maxQueued?: number;
  /** How many requests may run at once before more are refused; absent where there is no such limit. */
  readonly maxInFlight?: number;
  /** The largest payload that must pass. @default 1 MiB of text */
  readonly maxPayloadBytes?: number;
  /** Another instance of the same service. Closed by `close`, like the first. */
  another?(): Promise<MessageBroker & MessageServer>;
  /** The server behind it, which a test may kill and start again. */
  readonly server?: KillableServer;
  /** How long that server takes until a new queue or stream of its own survives being killed, in milliseconds. @default 50 */
  readonly settleMs?: number;
  /** How much the rule of the killed server sends, and how often it kills. @default 1,000 messages, 3 kills */
  readonly load?: { readonly messages: number; readonly kills: number };
  /** Hears what became of the messages of that rule. */
  onAccount?(account: Readonly<Record<string, number>>): void;
  close(): Promise<void> | void;
}

export interface KillableServer {
  kill(): Promise<void>;
  /** Over what it stored. Does nothing while it runs. */
  start(): Promise<void>;
  /** Kills it when the next acknowledgement of a message would reach it; resolves then. */
  crashBeforeAck?(): Promise<void>;
}

/**
 * What a broker may have beyond the basics. `instances`: several share a server (`another`). `durable`: it stores messages
 * (`another`). `restart`: its server can be killed and started again (`server`). `crash`: what that server has stored survives it
 * (all of these, and `server.crashBeforeAck`).
 */
export type BrokerFeature = 'instances' | 'durable' | 'restart' | 'crash';

export type Rule = (subject: BrokerUnderTest) => Promise<void>;

export const never = (): Promise<never> => new Promise(() => undefined);

export async function rejectsWith(promise: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(isMeshError(error, code), `expected ${code}, got ${String(error)}`);
    return true;
  });
}

/** 0 … count-1, sorted as numbers: what must have arrived. */
export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}

export function sorted(got: readonly unknown[]): number[] {
  return got.map(Number).sort((a, b) => a - b);
}

/** Any Standard Schema; this one takes digits and gives a number. */
export const wholeNumber = {
  '~standard': {
    version: 1,
    vendor: 'conformance',
    validate: (value: unknown) =>
      Number.isInteger(Number(value)) ? { value: Number(value) } : { issues: [{ message: 'must be a whole number' }] },
  },
} as const;
