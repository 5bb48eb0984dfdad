import type { Clock, Timer } from '../core/clock.js';
import type { LiveOptions } from '../core/live-options.js';
import type { LogLevelName, LogLevelView } from '../core/mesh-control.port.js';

/** As pino's loggers are. */
interface LeveledLogger {
  level: string;
}

interface Override {
  readonly level: LogLevelName;
  readonly until?: number;
  readonly timer?: Timer;
}

/**
 * An operator's log level over the configured one, for a while: not a change of configuration, so that nothing has to be
 * rolled back when its time is over.
 */
export class TemporaryLogLevel {
  readonly #options: LiveOptions<{ readonly level: LogLevelName }>;
  readonly #logger: LeveledLogger;
  readonly #clock: Clock;
  readonly #unsubscribe: () => void;
  #override: Override | undefined;

  constructor(options: LiveOptions<{ readonly level: LogLevelName }>, logger: LeveledLogger, clock: Clock) {
    this.#options = options;
    this.#logger = logger;
    this.#clock = clock;
    // The logger follows its options by itself; a change of others among them must not end the override.
    this.#unsubscribe = options.onChange(() => this.#apply());
  }

  view(): LogLevelView {
    const configured = this.#options.current.level;
    const { level = configured, until } = this.#override ?? {};
    return { level, configured, ...(until !== undefined && { until }) };
  }

  /** Overrides the configured level for `ttlMs`, or until told otherwise; `undefined` ends it. */
  set(level: LogLevelName | undefined, ttlMs?: number): void {
    this.#override?.timer?.cancel();
    this.#override = level === undefined ? undefined : { level, ...this.#ending(ttlMs) };
    this.#apply();
  }

  stop(): void {
    this.#override?.timer?.cancel();
    this.#unsubscribe();
  }

  #ending(ttlMs: number | undefined): Pick<Override, 'until' | 'timer'> {
    if (ttlMs === undefined) return {};
    return { until: this.#clock.now() + ttlMs, timer: this.#clock.setTimer(() => this.set(undefined), ttlMs) };
  }

  #apply(): void {
    this.#logger.level = this.view().level;
  }
}
