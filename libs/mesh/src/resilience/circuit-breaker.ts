import type { Clock } from '../core/clock.js';
import type { Ids } from '../core/ids.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { BreakerState } from '../core/policy.port.js';
import type { BreakerControl, HoldOptions } from './breaker-control.js';
import { BreakerPast, type Hold } from './breaker-past.js';
import type { FaultView } from './faults/fault.js';
import { OpossumSwitch } from './opossum.adapter.js';
import { CountWindow, type OutcomeWindow, reseed, TimeWindow } from './outcome-window.js';
import type { BreakerSnapshot } from './policy-description.js';

export interface BreakerSettings {
  readonly failureRatio: number;
  readonly minimumCalls: number;
  readonly windowMs: number;
  readonly windowCalls: number | false;
  readonly openMs: number;
  readonly maxOpenMs: number;
  readonly openJitterRatio: number;
  readonly halfOpenCalls: number;
  readonly slowCallMs: number | false;
  readonly slowCallRatio: number;
  /** A probe that has not answered after so long gives its place back; its answer still counts. */
  readonly leaseMs: number;
}

export interface BreakerTransition {
  readonly from: BreakerState;
  readonly to: BreakerState;
  readonly reason: string;
  readonly calls: number;
  readonly failures: number;
  readonly openMs?: number;
}

/** What a breaker shares with its siblings of the same policy. */
export interface BreakerHost {
  readonly name: string;
  readonly clock: Clock;
  readonly ids: Ids;
  /** What goes wrong with the policy's calls on purpose. */
  readonly fault?: FaultView | undefined;
  onTransition(breaker: CircuitBreaker, transition: BreakerTransition): void;
}

/** Probes answer soon, one way or the other. */
const PROBES_TAKEN_RETRY_MS = 1_000;

/** What {@link CircuitBreaker.tryAcquire} answers when the call may not pass. */
export const REFUSED = 0;

/**
 * Decides for each call whether it may pass, and from the outcomes when to stop passing. The caller acquires a permit,
 * runs the function, and records the outcome under that permit: a permit from before a transition no longer counts.
 *
 * Time moves it only when somebody looks: an open breaker needs no timer to become half-open.
 */
export class CircuitBreaker implements BreakerControl {
  #state: BreakerState = 'closed';
  #settings: BreakerSettings;
  #window: OutcomeWindow;
  #generation = 1;
  /** Made when it is first needed: most breakers never fail, and it is most of what one that did consists of. */
  #past: BreakerPast | undefined;

  constructor(
    private readonly host: BreakerHost,
    settings: BreakerSettings,
    readonly key?: string,
  ) {
    this.#settings = settings;
    this.#window = createWindow(settings);
  }

  /** A permit to run one call, or {@link REFUSED}. `now` is monotonic. */
  tryAcquire(now: number): number {
    return this.#state === 'closed' ? this.#generation : this.#tryAcquireUnclosed(now);
  }

  /** Counts the outcome of a call, unless the breaker has changed its state since the permit was given. */
  record(permit: number, failed: boolean, durationMs: number, now: number): void {
    const { slowCallMs } = this.#settings;
    const slow = slowCallMs !== false && durationMs > slowCallMs;
    if (permit === this.#generation) {
      this.#window.add(now, failed, slow);
      if (failed || slow) this.#onBadCall(now);
    } else if (this.#past?.endProbe(permit)) this.#onProbe(failed || slow, now);
  }

  /** Gives the permit back uncounted: the call was cancelled, or its error says nothing about the callee. */
  forget(permit: number): void {
    this.#past?.endProbe(permit);
  }

  /** Milliseconds until a refused call may try again; `undefined` when only an operator knows. */
  retryAfterMs(now: number): number | undefined {
    const { hold, openUntil = now } = this.#past ?? {};
    if (this.#state === 'isolated') return hold!.until === Infinity ? undefined : hold!.until - now;
    if (this.#state === 'open') return Math.max(1, openUntil - now);
    return PROBES_TAKEN_RETRY_MS;
  }

  /** Why an operator holds it. */
  get holdReason(): string | undefined {
    return this.#past?.hold?.reason;
  }

  get policy(): string {
    return this.host.name;
  }

  get state(): BreakerState {
    this.#refresh(this.host.clock.monotonic());
    return this.#state;
  }

  /** Whether an operator holds it isolated or disabled. */
  get held(): boolean {
    return this.#past?.hold !== undefined;
  }

  snapshot(): BreakerSnapshot {
    const now = this.host.clock.monotonic();
    this.#refresh(now);
    this.#window.roll(now);
    const { calls, failures, slowCalls } = this.#window;
    const { hold, openings = 0, openUntil = now } = this.#past ?? {};
    const { fault } = this.host;
    // Whole milliseconds, rounded up: whoever comes then is not too early.
    const epochAt = (monotonic: number): number => Math.ceil(monotonic + this.host.clock.now() - now);
    return {
      policy: this.host.name,
      ...(this.key !== undefined && { key: this.key }),
      state: this.#state,
      calls,
      failures,
      slowCalls,
      failureRatio: calls === 0 ? 0 : failures / calls,
      openings,
      ...(this.#state === 'open' && { openUntil: epochAt(openUntil) }),
      ...(fault && { fault }),
      ...(hold && {
        held: {
          reason: hold.reason,
          ...(hold.author !== undefined && { author: hold.author }),
          ...(hold.until !== Infinity && { until: epochAt(hold.until) }),
        },
      }),
    };
  }

  isolate(options: HoldOptions): Disposable {
    return this.#holdAs('isolated', options);
  }

  disable(options: HoldOptions): Disposable {
    return this.#holdAs('disabled', options);
  }

  trip(reason: string): void {
    const now = this.host.clock.monotonic();
    this.#refresh(now);
    if (this.#state === 'open') return;
    if (this.#past) this.#past.hold = undefined;
    this.#open(now, reason);
  }

  release(): void {
    if (this.held) this.#close('released', this.host.clock.monotonic());
  }

  reset(): void {
    const now = this.host.clock.monotonic();
    if (this.#past) this.#past.openings = 0;
    if (this.#state === 'closed') this.#window.clear();
    else this.#close('reset', now);
  }

  /**
   * Goes on being open until `until` (monotonic) for the `openings`-th time in a row, as before this instance started;
   * unless its own calls have already told it something, or an operator holds it.
   */
  resumeOpen(until: number, openings: number): void {
    const now = this.host.clock.monotonic();
    this.#refresh(now);
    this.#window.roll(now);
    const openMs = Math.min(until - now, this.#settings.maxOpenMs);
    if (this.#state !== 'closed' || this.#window.calls > 0 || openMs <= 0) return;
    const past = this.#ensurePast();
    past.openings = openings;
    past.openUntil = now + openMs;
    this.#moveTo(past.organ.open(), 'it was open when this instance started', openMs);
  }

  /** Takes new settings over. State, open-until, permits and the window's totals stay. */
  configure(settings: BreakerSettings): void {
    const old = this.#settings;
    const now = this.host.clock.monotonic();
    this.#settings = settings;
    if (settings.windowMs !== old.windowMs || settings.windowCalls !== old.windowCalls)
      this.#window = reseed(createWindow(settings), this.#window, now);
    // With fewer probes asked for there may be enough already; no further one would be let in to find out.
    if (this.#state === 'half-open') this.#closeIfProven(now);
  }

  /** It takes part in nothing any more; outcomes of calls still running change nothing. */
  dispose(): void {
    this.#renew(this.#past);
    this.#past?.organ.shutdown();
  }

  #tryAcquireUnclosed(now: number): number {
    this.#refresh(now);
    if (this.#state === 'closed' || this.#state === 'disabled') return this.#generation;
    if (this.#state !== 'half-open') return REFUSED;

    const past = this.#past!;
    if (past.probesRunning(now) + past.probeSuccesses >= this.#settings.halfOpenCalls) return REFUSED;
    return past.beginProbe(now + this.#settings.leaseMs);
  }

  #onBadCall(now: number): void {
    this.#ensurePast();
    if (this.#state !== 'closed') return;
    const { calls, failures, slowCalls } = this.#window;
    const { minimumCalls, failureRatio, slowCallRatio, slowCallMs } = this.#settings;
    if (calls < minimumCalls) return;
    if (failures >= failureRatio * calls) this.#open(now, `${failures} of ${calls} calls failed`);
    else if (slowCallMs !== false && slowCalls >= slowCallRatio * calls)
      this.#open(now, `${slowCalls} of ${calls} calls took longer than ${slowCallMs} ms`);
  }

  #onProbe(failed: boolean, now: number): void {
    const past = this.#past!;
    if (failed) return this.#open(now, 'a probe failed');
    past.probeSuccesses++;
    this.#closeIfProven(now);
  }

  #closeIfProven(now: number): void {
    const { probeSuccesses } = this.#past!;
    if (probeSuccesses >= this.#settings.halfOpenCalls) this.#close(`${probeSuccesses} probes succeeded`, now);
  }

  /** Does what time alone has decided. */
  #refresh(now: number): void {
    const past = this.#past;
    if (!past) return;
    if (past.hold && now >= past.hold.until) this.#close('the time of the hold is over', now);
    if (this.#state === 'open' && now >= past.openUntil) this.#moveTo(past.organ.halfOpen(), 'the open time is over');
  }

  #open(now: number, reason: string): void {
    const past = this.#ensurePast();
    if (this.#state === 'closed' && now - past.closedAt >= this.#settings.windowMs) past.openings = 0;
    const openMs = this.#nextOpenMs(past.openings);
    past.openings++;
    past.openUntil = now + openMs;
    this.#moveTo(past.organ.open(), reason, openMs);
  }

  #close(reason: string, now: number): void {
    const past = this.#ensurePast();
    past.closedAt = now;
    past.hold = undefined;
    this.#moveTo(past.organ.close(), reason);
    this.#window.clear();
  }

  #holdAs(state: 'isolated' | 'disabled', { reason, ttlMs = Infinity, author }: HoldOptions): Disposable {
    if (!(ttlMs > 0))
      throw new MeshConfigError(
        `Circuit "${this.host.name}" can't be held for ${ttlMs} ms: ttlMs must be above 0, or left out.`,
        { policy: this.host.name },
      );
    const hold: Hold = { reason, author, until: this.host.clock.monotonic() + ttlMs };
    const past = this.#ensurePast();
    past.hold = hold;
    if (state === 'isolated') past.organ.open();
    else past.organ.close();
    this.#moveTo(state, author === undefined ? reason : `${reason} (${author})`);
    return {
      [Symbol.dispose]: () => {
        if (past.hold === hold) this.release();
      },
    };
  }

  #moveTo(to: BreakerState, reason: string, openMs?: number): void {
    const from = this.#state;
    this.#state = to;
    this.#renew(this.#past);
    const { calls, failures } = this.#window;
    this.host.onTransition(this, { from, to, reason, calls, failures, ...(openMs !== undefined && { openMs }) });
  }

  /** `openMs`, doubled with each opening in a row, spread so that many instances do not probe at once. */
  #nextOpenMs(openings: number): number {
    const { openMs, maxOpenMs, openJitterRatio } = this.#settings;
    const base = Math.min(maxOpenMs, openMs * 2 ** openings);
    return Math.min(maxOpenMs, base * (1 + openJitterRatio * (2 * this.host.ids.random() - 1)));
  }

  /** From here on no permit given before counts any more. */
  #renew(past: BreakerPast | undefined): void {
    if (!past) this.#generation++;
    else {
      this.#generation = ++past.lastTicket;
      past.forgetProbes();
    }
  }

  #ensurePast(): BreakerPast {
    return (this.#past ??= new BreakerPast(new OpossumSwitch(this.host.name, () => this.#window), this.#generation));
  }
}

function createWindow(settings: BreakerSettings): OutcomeWindow {
  return settings.windowCalls === false ? new TimeWindow(settings.windowMs) : new CountWindow(settings.windowCalls);
}
