import { injectedFault } from '../call-errors.js';
import type { FaultPlan } from './fault.js';

/** A fault as configuration asks for it, with every layer merged. */
export interface FaultSettings {
  readonly errorRatio: number;
  readonly delayMs: number;
  readonly delayRatio: number;
  readonly hangRatio: number;
  /** The instant of its end, as in ISO 8601. */
  readonly until: string;
}

/** What happens to which share of the attempts, by the dice. An attempt may be slow and fail; one that hangs does only that. */
export function configuredPlan(settings: FaultSettings, policy: string, random: () => number): FaultPlan {
  const { errorRatio, delayMs, delayRatio, hangRatio, until } = settings;
  return () => {
    if (random() < hangRatio) return { delayMs: Infinity };
    const isSlow = random() < delayRatio;
    const fails = random() < errorRatio;
    return {
      ...(isSlow && { delayMs }),
      ...(fails && { error: injectedFault(policy, `the configuration until ${until}`) }),
    };
  };
}

/** As `errors 30 %, delay 200 ms for 50 %`. */
export function describeFault({ errorRatio, delayMs, delayRatio, hangRatio }: FaultSettings): string {
  const percent = (ratio: number): string => `${Math.round(ratio * 1_000) / 10} %`;
  const parts = [
    errorRatio > 0 && `errors ${percent(errorRatio)}`,
    delayMs > 0 && delayRatio > 0 && `delay ${delayMs} ms${delayRatio < 1 ? ` for ${percent(delayRatio)}` : ''}`,
    hangRatio > 0 && `hangs ${percent(hangRatio)}`,
  ];
  return parts.filter((part) => part !== false).join(', ');
}

/** Whether two faults say the same, whatever the order in which they say it. */
export function isSameFault(a: object, b: object): boolean {
  return JSON.stringify(Object.entries(a).toSorted()) === JSON.stringify(Object.entries(b).toSorted());
}
