import type { z } from 'zod';
import type { brokerOptionsSchema } from '../../../libs/mesh/src/broker/broker.options.js';

export type BrokerInput = z.input<typeof brokerOptionsSchema>;

/** A real server that a spec may hurt. */
export interface ChaosServer {
  /** Of a broker that is connected to it; whatever is declared under `names` meets nothing of other cases. */
  options(names: string): BrokerInput;
  /** It is gone, with nothing said. What it has stored stays. */
  kill(): Promise<void>;
  /** It is there again. Does nothing while it is. */
  start(): Promise<void>;
  /** Connections stay, and nothing answers on them. */
  hang(): void;
  /** It answers again, over new connections at least. */
  resume(): void;
  /** Kills it when the next acknowledgement of a message would reach it; resolves then. */
  crashBeforeAck(): Promise<void>;
  /** Leaves nothing behind. */
  stop(): Promise<void>;
}

/** A kind of server that every rule is tried on. */
export interface ServerKind {
  readonly name: string;
  /** Empty where the specs can run. In CI they must: without the server they fail instead of being skipped. */
  readonly whyNot: string;
  /** The largest payload that it takes, unless that is a MiB. */
  readonly maxPayloadBytes?: number;
  /** How long it takes until a new queue survives a kill. */
  readonly settleMs?: number;
  start(): Promise<ChaosServer>;
}

/** For `describe.skipIf(whyNot)`: in CI nothing is skipped. */
export function skipReason(isHere: boolean, why: string): string {
  return isHere || process.env['CI'] === 'true' ? '' : ` (skipped: ${why})`;
}
