import { beforeEach, describe, expect, it } from 'vitest';
import type { DeadLetters, DrainReport, RequestHandler, Subscription } from '../core/broker.port.js';
import { MessageBroker } from '../core/broker.port.js';
import { fixedOptions } from '../core/live-options.js';
import { type MeshEventMap, MeshEvents } from '../core/mesh.events.js';
import { lifecycleSchema } from '../lifecycle/lifecycle.options.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { PartReplacer } from './part-replacer.js';

/** A broker that writes down what is asked of it. */
class NotedBroker extends MessageBroker {
  readonly log: string[] = [];
  readonly patterns = new Set<unknown>();
  readonly topics: string[] = [];
  beforeSubscribing: Promise<void> | undefined;

  constructor(readonly label: string) {
    super();
  }

  start(_context: { readonly signal: AbortSignal }): Promise<void> | void {
    this.log.push('start');
  }

  stop(): Promise<void> | void {
    this.log.push('stop');
  }

  override async request<R>(): Promise<R> {
    return this.label as R;
  }

  override publish = () => Promise.resolve({ id: '1' });
  override waitFor = () => Promise.resolve();
  override deadLetters = () => ({}) as DeadLetters;

  override async subscribe(topic: string): Promise<Subscription> {
    await this.beforeSubscribing;
    this.topics.push(topic);
    return { topic, stop: async () => void this.topics.splice(this.topics.indexOf(topic), 1) };
  }

  override serve(pattern: unknown, _handler: RequestHandler): () => void {
    if (this.patterns.has(pattern)) throw new Error(`"${String(pattern)}" has a handler already`);
    this.patterns.add(pattern);
    return () => void this.patterns.delete(pattern);
  }

  override async drain(): Promise<DrainReport> {
    this.log.push('drain');
    return { finished: 0, abandoned: [] };
  }
}

const never = new Promise<void>(() => undefined);
const handler: RequestHandler = () => undefined;

let clock: VirtualClock;
let events: MeshEvents;
let replacer: PartReplacer;
let old: NotedBroker;
let face: MessageBroker;
let told: MeshEventMap['component.replaced'][];

beforeEach(() => {
  clock = new VirtualClock();
  events = new MeshEvents();
  told = [];
  events.on('component.replaced', (event) => void told.push(event));
  replacer = new PartReplacer({ clock, events, options: fixedOptions(lifecycleSchema.parse({})) });
  old = new NotedBroker('old');
  face = replacer.hold('broker', old);
  events.emit('lifecycle.phase', { phase: 'ready', durationMs: 0 });
});

describe('a replacement', () => {
  it('starts the new part, switches, drains and stops the old one, and tells', async () => {
    const next = new NotedBroker('next');
    face.serve('a', handler);
    await face.subscribe('t', () => undefined);
    await replacer.replace('broker', next);
    expect([next.log, old.log]).toEqual([['start'], ['drain', 'stop']]);
    expect([...next.patterns, ...next.topics]).toEqual(['a', 't']);
    expect(await face.request('a')).toBe('next');
    expect(told).toMatchObject([{ component: 'broker', from: 'NotedBroker', to: 'NotedBroker', leftovers: 0 }]);
  });

  it('waits 15 s for a start that hangs, then stops what it began', async () => {
    const next = new NotedBroker('next');
    next.start = () => never;
    const refusal = expect(replacer.replace('broker', next)).rejects.toThrow(
      /The broker was not replaced: NotedBroker failed to start: .*15000 ms.*NotedBroker stays in use/,
    );
    await clock.advance(15_000);
    await refusal;
    expect([next.log, await face.request('a'), clock.pendingTimers]).toEqual([['stop'], 'old', 0]);
  });

  it('takes handlers back from a part that can not have them all', async () => {
    const next = new NotedBroker('next');
    face.serve('a', handler);
    face.serve('taken', handler);
    next.serve('taken', handler);
    await expect(replacer.replace('broker', next)).rejects.toThrow(
      'could not take over: "taken" has a handler already',
    );
    expect([...next.patterns]).toEqual(['taken']);
    await face.subscribe('t', () => undefined);
    expect(old.topics).toEqual(['t']);
  });

  it('puts handlers and subscriptions that come meanwhile where they belong', async () => {
    const next = new NotedBroker('next');
    const gate = Promise.withResolvers<void>();
    await face.subscribe('before', () => undefined);
    next.beforeSubscribing = gate.promise;
    const replacement = replacer.replace('broker', next);
    await clock.advance(0);
    const late = face.subscribe('meanwhile', () => undefined);
    face.serve('meanwhile', handler);
    gate.resolve();
    await replacement;
    await (await late).stop();
    expect([next.topics, [...next.patterns]]).toEqual([['before'], ['meanwhile']]);
  });

  it('stands when the old part fails to stop, and says so', async () => {
    const failure = new Error('stuck');
    old.stop = () => Promise.reject(failure);
    expect(await replacer.replace('broker', new NotedBroker('next'))).toEqual({ leftovers: [failure] });
    expect([await face.request('a'), told[0]?.leftovers]).toEqual(['next', 1]);
  });

  it('comes one after the other', async () => {
    const [second, third] = [new NotedBroker('second'), new NotedBroker('third')];
    await Promise.all([replacer.replace('broker', second), replacer.replace('broker', third)]);
    expect([second.log, third.log]).toEqual([['start', 'drain', 'stop'], ['start']]);
    expect(await face.request('a')).toBe('third');
  });

  it('is called off by the shutdown, which waits until it is cleaned up', async () => {
    const next = new NotedBroker('next');
    next.start = ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    const refusal = expect(replacer.replace('broker', next)).rejects.toMatchObject({ code: 'MESH_DRAINING' });
    await clock.advance(0);
    await replacer.close();
    await refusal;
    expect([next.log, old.log]).toEqual([['stop'], []]);
  });
});
