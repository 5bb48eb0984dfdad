import type { DeadLetter, DeadLetters } from '../../libs/mesh/src/core/broker.port.js';
import { CallContexts } from '../../libs/mesh/src/core/call-context.js';
import { fixedOptions } from '../../libs/mesh/src/core/live-options.js';
import { type MeshEventName, MeshEvents } from '../../libs/mesh/src/core/mesh.events.js';
import type { Policy } from '../../libs/mesh/src/core/policy.port.js';
import { ServiceInfo } from '../../libs/mesh/src/core/service-info.js';
import { VirtualClock } from '../../libs/mesh/src/testing/virtual-clock.js';
import { brokerOptionsSchema, type RemoteBrokerOptions } from '../../libs/mesh/src/broker/broker.options.js';
import type { DedupeStore } from '../../libs/mesh/src/broker/dedupe/dedupe.store.js';
import { DeadLetterQueue } from '../../libs/mesh/src/broker/dead-letters.js';
import { MemoryDedupeStore } from '../../libs/mesh/src/broker/dedupe/memory-dedupe.store.js';
import { decodePayload, encodePayload } from '../../libs/mesh/src/broker/transport/payload.codec.js';
import { TransportBroker } from '../../libs/mesh/src/broker/transport/transport.broker.js';
import type {
  ConsumeSpec,
  DriverHost,
  IncomingEvent,
  IncomingRequest,
  Intake,
  OutgoingMessage,
  OutgoingRequest,
  TransportCapabilities,
  TransportDriver,
  WireReply,
} from '../../libs/mesh/src/broker/transport/transport-driver.port.js';
import { CountingIds } from './broker.fixture.js';
import { RecordingMetrics } from './recording-metrics.fixture.js';

const everything: TransportCapabilities = {
  confirmed: true,
  durable: true,
  groups: true,
  broadcast: true,
  replay: true,
  headers: true,
  noResponder: true,
};

/** What a transport does, said by the test: nothing happens by itself. */
export class ScriptedDriver implements TransportDriver {
  readonly name = 'scripted';
  readonly capabilities: TransportCapabilities;
  readonly requests: OutgoingRequest[] = [];
  readonly published: { readonly message: OutgoingMessage; readonly answer: PromiseWithResolvers<void> }[] = [];
  readonly forgotten: string[] = [];
  /** What the server keeps, of whatever topic; redriven letters are gone. */
  readonly storedLetters = new DeadLetterQueue(() => true);
  readonly serving = new Map<string, (request: IncomingRequest) => void>();
  readonly consuming = new Map<string, { spec: ConsumeSpec; onEvent: (event: IncomingEvent) => void }>();
  refuseIntakes: Error | undefined;
  refuseLetters: Error | undefined;
  intakesWait: Promise<void> | undefined;
  /** The server does not answer at the start. */
  startsAway: string | undefined;
  stopped = false;
  host!: DriverHost;

  constructor(capabilities: Partial<TransportCapabilities> = {}) {
    this.capabilities = { ...everything, ...capabilities };
  }

  async load(): Promise<void> {}

  async start(host: DriverHost): Promise<void> {
    this.host = host;
    if (this.startsAway === undefined) host.onConnected();
    else host.onDisconnected(this.startsAway);
  }

  request(message: OutgoingRequest): void {
    this.requests.push(message);
  }

  forget(id: string): void {
    this.forgotten.push(id);
  }

  publish(message: OutgoingMessage): Promise<void> {
    const answer = Promise.withResolvers<void>();
    this.published.push({ message, answer });
    return answer.promise;
  }

  async serve(pattern: string, onRequest: (request: IncomingRequest) => void): Promise<Intake> {
    if (this.refuseIntakes) throw this.refuseIntakes;
    this.serving.set(pattern, onRequest);
    return { stop: async () => void this.serving.delete(pattern) };
  }

  async consume(spec: ConsumeSpec, onEvent: (event: IncomingEvent) => void): Promise<Intake> {
    if (this.refuseIntakes) throw this.refuseIntakes;
    await this.intakesWait;
    this.consuming.set(spec.topic, { spec, onEvent });
    return { stop: async () => void this.consuming.delete(spec.topic) };
  }

  deadLetters(): DeadLetters {
    if (this.refuseLetters) throw this.refuseLetters;
    return this.storedLetters;
  }

  async stop(): Promise<void> {
    this.stopped = true;
  }

  answerLast(value: unknown): void {
    this.host.onReply(this.requests.at(-1)!.id, { ok: true, body: encodePayload(value) });
  }

  /** A request that arrives; resolves with what is answered. */
  async ask(
    pattern: string,
    payload: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ ok: boolean; value: unknown }> {
    const reply = await new Promise<WireReply>((resolve) =>
      this.serving.get(pattern)!({ headers, body: encodePayload(payload), reply: resolve }),
    );
    return { ok: reply.ok, value: decodePayload(reply.body) };
  }

  /** An event that arrives, stored by the server; what its handling ended with is written to `log`. */
  deliver(topic: string, event: Partial<IncomingEvent> & { readonly payload?: unknown }, log?: string[]): void {
    const { payload, ...own } = event;
    const settle = log && {
      ack: async () => void log.push('ack'),
      retry: async (delayMs: number) => void log.push(`retry in ${delayMs}`),
      deadLetter: async ({ attempts }: DeadLetter) => void log.push(`dead letter after ${attempts}`),
    };
    this.consuming.get(topic)!.onEvent({
      id: 'm-1',
      headers: {},
      body: encodePayload(payload),
      publishedAt: 0,
      attempt: 1,
      ...(settle && { settle }),
      ...own,
    });
  }
}

/** A broker over a scripted driver, on a clock that stands still. */
export async function transportFixture(
  options: Partial<RemoteBrokerOptions> = {},
  {
    capabilities,
    startsAway,
    policyFor,
    dedupe,
    clock = new VirtualClock(),
    service = new ServiceInfo('shop', 'shop-1'),
  }: {
    readonly startsAway?: string;
    readonly capabilities?: Partial<TransportCapabilities>;
    readonly policyFor?: (pattern: string) => Policy | undefined;
    /** As a server would keep it, for several brokers. @default memory */
    readonly dedupe?: (clock: VirtualClock) => DedupeStore;
    readonly clock?: VirtualClock;
    readonly service?: ServiceInfo;
  } = {},
) {
  const driver = new ScriptedDriver(capabilities);
  driver.startsAway = startsAway;
  const events = new MeshEvents();
  const told: { name: MeshEventName; event: unknown }[] = [];
  events.onAny((name, event) => void told.push({ name, event }));
  const metrics = new RecordingMetrics();
  const contexts = new CallContexts();
  const parsed = brokerOptionsSchema.parse({ transport: 'nats' }) as RemoteBrokerOptions;
  const broker = new TransportBroker(fixedOptions({ ...parsed, ...options }), driver, {
    clock,
    events,
    metrics,
    contexts,
    ids: new CountingIds(),
    service,
    dedupe: dedupe?.(clock) ?? new MemoryDedupeStore(clock, () => 100),
    ...(policyFor && { policyFor }),
  });
  await broker.start({ signal: new AbortController().signal });
  broker.startConsuming();
  return { broker, driver, clock, events, told, metrics, contexts };
}
