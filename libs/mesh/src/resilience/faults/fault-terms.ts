import type { FaultOptions, PolicyOptions, ResilienceOptions } from '../resilience.options.js';
import { isSameFault } from './configured-fault.js';

interface Term {
  readonly fault: FaultOptions;
  readonly until: string;
}

/**
 * Knows when configured faults with a `ttlMs` end: so long after they came into force. A fault that is the same in the
 * next version of the options keeps its end, so that an update of something else does not prolong it.
 */
export class FaultTerms {
  #terms: ReadonlyMap<string, Term> = new Map();

  /** The options with each `ttlMs` replaced by the instant of its end; to be called once a version, as it comes into force. */
  date(options: ResilienceOptions, epochNow: number): ResilienceOptions {
    const terms = new Map<string, Term>();
    const dated = (section: 'groups' | 'policies'): Record<string, PolicyOptions> =>
      Object.fromEntries(
        Object.entries(options[section]).map(([name, policy]) => {
          const { fault } = policy;
          if (!fault || fault.ttlMs === undefined) return [name, policy];
          const key = `${section} ${name}`;
          const until = this.#endOf(key, fault) ?? new Date(epochNow + fault.ttlMs).toISOString();
          terms.set(key, { fault, until });
          const { ttlMs: _, ...rest } = fault;
          return [name, { ...policy, fault: { ...rest, until } }];
        }),
      );
    const next = { ...options, groups: dated('groups'), policies: dated('policies') };
    this.#terms = terms;
    return terms.size === 0 ? options : next;
  }

  #endOf(key: string, fault: FaultOptions): string | undefined {
    const known = this.#terms.get(key);
    return known && isSameFault(known.fault, fault) ? known.until : undefined;
  }
}
