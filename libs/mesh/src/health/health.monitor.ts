import type { CallContexts } from '../core/call-context.js';
import type { Clock, Timer } from '../core/clock.js';
import type { HealthContributor, HealthReport, HealthState } from '../core/health.port.js';
import type { Ids } from '../core/ids.js';
import { HealthHistory } from './health-history.js';
import { failureReport, toReport } from './health-report.js';

/** How one contributor is checked: its own settings where it has some, the room's otherwise. */
export interface CheckSettings {
  readonly everyMs: number;
  readonly timeoutMs: number;
  readonly jitterRatio: number;
  readonly failuresToDown: number;
  readonly successesToUp: number;
  readonly staleAfterIntervals: number;
}

export interface MonitorDeps {
  readonly clock: Clock;
  readonly contexts: CallContexts;
  readonly ids: Ids;
  /** Who added the contributor, in words. */
  readonly registrant: string;
  readonly settings: () => CheckSettings;
  /** Whether the application still starts: what fails meanwhile has not failed, it is not there yet. */
  readonly isStarting: () => boolean;
  /** A check ended or ran out of time; what it found may not be shown yet. */
  readonly onChecked: (durationMs: number) => void;
  /** What is shown has changed. */
  readonly onChange: (from: HealthState, to: HealthState, reason: string | undefined) => void;
}

interface Shown {
  readonly state: HealthState;
  readonly reason?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * Keeps the state of one contributor up to date in the background: one check at a time, each with a time limit, and
 * with hysteresis, so that one lost packet changes nothing.
 */
export class HealthMonitor {
  readonly history = new HealthHistory();
  #shown: Shown;
  #checkedAt: number | undefined;
  /** On the monotonic clock, as is what it is compared with. */
  #lastResultAt: number | undefined;
  #staleAt = Infinity;
  #failures = 0;
  #successes = 0;
  #generation = 0;
  #started = false;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #unsettled: { readonly since: number; cancel(): void } | undefined;

  constructor(
    readonly contributor: HealthContributor,
    private readonly deps: MonitorDeps,
  ) {
    this.#shown = { state: 'unknown', reason: contributor.check ? 'Not checked yet.' : 'Nothing was reported yet.' };
  }

  get registrant(): string {
    return this.deps.registrant;
  }

  get state(): HealthState {
    return this.#shown.state;
  }

  get reason(): string | undefined {
    return this.#shown.reason;
  }

  get details(): Readonly<Record<string, unknown>> | undefined {
    return this.#shown.details;
  }

  /** Epoch ms of the last result. */
  get checkedAt(): number | undefined {
    return this.#checkedAt;
  }

  /** Failed checks in a row, also while they are too few to be shown. */
  get failures(): number {
    return this.#failures;
  }

  /** Checks now and then again and again. Resolves when the first result is there. */
  start(): Promise<void> {
    if (this.#started) return Promise.resolve();
    this.#started = true;
    return this.#cycle();
  }

  stop(): void {
    this.#started = false;
    this.#generation++;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#unsettled?.cancel();
    this.#unsettled = undefined;
  }

  /** Starts the interval anew: its length has changed. */
  reschedule(): void {
    this.#expectNext();
    if (this.#started && !this.#running) this.#schedule();
  }

  /** Does not wait for the interval's end. */
  hasten(): void {
    if (this.#started && !this.#running) void this.#cycle();
  }

  /** Checks now. Whoever asks while a check runs gets that one's result. */
  check(): Promise<void> {
    return (this.#running ??= this.#outside(() =>
      this.#check().finally(() => {
        this.#running = undefined;
      }),
    ));
  }

  /** Takes over what somebody else has seen: at once, and against a check that began before. */
  update(report: HealthReport): void {
    this.#generation++;
    const { status } = report;
    this.#failures = status === 'down' ? this.deps.settings().failuresToDown : 0;
    this.#successes = 0;
    this.#stamp();
    this.#show(report);
  }

  /** Shows `unknown` when the last result is too old. Called for every probe, so it only compares two numbers. */
  expire(nowMs: number): void {
    if (nowMs < this.#staleAt) return;
    this.#staleAt = Infinity;
    this.#change({ state: 'unknown', reason: `The last result is ${Math.round(nowMs - this.#lastResultAt!)} ms old.` });
  }

  async #cycle(): Promise<void> {
    this.#timer?.cancel();
    if (!this.contributor.check) return;
    await this.check();
    this.#schedule();
  }

  #schedule(): void {
    this.#timer?.cancel();
    if (!this.#started || !this.contributor.check) return;
    const { everyMs, jitterRatio } = this.deps.settings();
    const delayMs = everyMs * (1 + jitterRatio * (2 * this.deps.ids.random() - 1));
    this.#timer = this.#outside(() => this.deps.clock.setTimer(() => void this.#cycle(), delayMs));
  }

  /** A request may ask for a check, add a contributor or change the interval; its deadline and its id are not the check's. */
  #outside<T>(work: () => T): T {
    return this.deps.contexts.exit(work);
  }

  async #check(): Promise<void> {
    const { clock, settings } = this.deps;
    const { everyMs, timeoutMs, staleAfterIntervals } = settings();
    const startedAt = clock.monotonic();
    const generation = this.#generation;
    const hangsSince = this.#unsettled?.since;
    // A check that hangs is not joined by a second one, until it has hung for so long that it won't come back.
    if (hangsSince !== undefined && startedAt - hangsSince < everyMs * staleAfterIntervals) {
      this.history.add({ status: 'down' });
      return this.#record(stillRunning(startedAt - hangsSince));
    }
    const report = await this.#ask(timeoutMs);
    if (!report || generation !== this.#generation) return;
    const durationMs = clock.monotonic() - startedAt;
    this.history.add({ status: report.status, durationMs });
    this.deps.onChecked(durationMs);
    this.#record(report);
  }

  /** One answer within the time limit; `undefined` when the monitor was stopped meanwhile. */
  #ask(timeoutMs: number): Promise<HealthReport | undefined> {
    const { clock } = this.deps;
    return new Promise((resolve) => {
      const controller = new AbortController();
      const timer = clock.setTimer(() => {
        resolve({ status: 'down', reason: `The check did not answer within ${timeoutMs} ms.` });
        controller.abort(new Error(`The health check took longer than ${timeoutMs} ms.`));
      }, timeoutMs);
      const call = {
        since: clock.monotonic(),
        cancel: () => {
          timer.cancel();
          resolve(undefined);
          controller.abort(new Error('Health checks were stopped.'));
        },
      };
      this.#unsettled = call;
      void answerOf(this.contributor, controller.signal).then((report) => {
        timer.cancel();
        if (this.#unsettled === call) this.#unsettled = undefined;
        resolve(report);
      });
    });
  }

  #record(report: HealthReport): void {
    this.expire(this.deps.clock.monotonic());
    this.#stamp();
    const { failuresToDown, successesToUp } = this.deps.settings();
    const { state } = this.#shown;
    if (report.status === 'down') {
      this.#successes = 0;
      if (state === 'unknown' && this.deps.isStarting()) {
        const reason = report.reason ?? 'It is not there yet.';
        return this.#change({ state, reason });
      }
      this.#failures++;
      if ((state === 'up' || state === 'degraded') && this.#failures < failuresToDown) return;
    } else {
      this.#failures = 0;
      this.#successes++;
      if (state === 'down' && this.#successes < successesToUp) return;
    }
    this.#show(report);
  }

  #stamp(): void {
    this.#lastResultAt = this.deps.clock.monotonic();
    this.#checkedAt = this.deps.clock.now();
    this.#expectNext();
  }

  #expectNext(): void {
    // What is only told has no interval, so its word holds until the next one.
    if (!this.contributor.check || this.#lastResultAt === undefined) return;
    const { everyMs, timeoutMs, staleAfterIntervals } = this.deps.settings();
    this.#staleAt = this.#lastResultAt + everyMs * staleAfterIntervals + timeoutMs;
  }

  #show({ status, reason, details }: HealthReport): void {
    const before = this.#shown;
    if (before.state === status && before.reason === reason && !before.details && !details) return;
    this.#change({ state: status, ...(reason !== undefined && { reason }), ...(details && { details }) });
  }

  #change(next: Shown): void {
    const from = this.#shown.state;
    this.#shown = next;
    if (from !== next.state) {
      const cause = next.reason === undefined ? undefined : { cause: next.reason };
      this.history.addTransition({ at: this.deps.clock.now(), from, to: next.state, ...cause });
    }
    this.deps.onChange(from, next.state, next.reason);
  }
}

/** Never rejects, whatever the contributor does. */
async function answerOf(contributor: HealthContributor, signal: AbortSignal): Promise<HealthReport> {
  try {
    return toReport(await contributor.check?.({ signal }));
  } catch (error) {
    return failureReport(error);
  }
}

function stillRunning(ageMs: number): HealthReport {
  return { status: 'down', reason: `A check that began ${Math.round(ageMs)} ms ago still hangs.` };
}
