import type { CircuitBreakerManager, Fault, PolicyDescription } from '../../index.js';
import { InjectedFaultError } from '../../index.js';
import { failExpectation, listed, shown } from './failed-expectation.js';

export interface PolicyFaultOptions {
  /** How many attempts it happens to. @default all, until `restore` */
  readonly times?: number;
}

/** One named policy: what is to go wrong with its calls, and what it does with them. */
export class TestedPolicy {
  #lift: Disposable | undefined;

  constructor(
    readonly name: string,
    private readonly breakers: CircuitBreakerManager,
  ) {}

  /** Attempts fail, and their function does not run. @default a failure that counts and may be retried */
  fails(error: unknown = new InjectedFaultError(this.name, 'the test'), options?: PolicyFaultOptions): void {
    this.#inject({ error }, options);
  }

  /** Attempts wait so long before their function runs, on the virtual clock. */
  delays(delayMs: number, options?: PolicyFaultOptions): void {
    this.#inject({ delayMs }, options);
  }

  /** Attempts hang until a time limit or their caller gives them up, or until {@link restore}. */
  hangs(options?: PolicyFaultOptions): void {
    this.#inject({ delayMs: Infinity }, options);
  }

  /** Ends what was to go wrong; attempts that wait or hang go on to their function. */
  restore(): void {
    this.#lift?.[Symbol.dispose]();
    this.#lift = undefined;
  }

  describe(): PolicyDescription {
    return this.breakers.describePolicy(this.name);
  }

  /**
   * @throws when the stages that are on are not these, outermost first; each begins with what is given:
   * `'retry', 'circuit breaker', 'attempt timeout 800 ms'`.
   */
  expectStages(...stages: readonly string[]): void {
    // The function is always there and always last.
    const actual = this.describe().stages.slice(0, -1);
    if (actual.length === stages.length && stages.every((stage, index) => actual[index]!.startsWith(stage))) return;
    failExpectation(
      `Policy "${this.name}" was expected to go through${listed(stages)}\nand goes through${listed(actual)}`,
      {
        actual,
        expected: stages,
      },
    );
  }

  /**
   * @throws when the option (`circuitBreaker.openMs`) has another value; and, with a `source`, when the value comes from
   * elsewhere: `policies["payments.charge"]`, `defaults`, `declared by ChargeService.charge`.
   */
  expectValue(path: string, value: unknown, source?: string): void {
    const { values } = this.describe();
    const found = values.find((candidate) => candidate.path === path);
    if (found && Object.is(found.value, value) && (source === undefined || found.source === source)) return;
    const said = (what: unknown, from?: string): string => `${shown(what)}${from === undefined ? '' : ` by ${from}`}`;
    const actual = found
      ? `is ${said(found.value, found.source)}`
      : 'has no value: what it belongs to is off, or is not known';
    failExpectation(`Policy "${this.name}": ${path} was expected to be ${said(value, source)} and ${actual}`, {
      actual: found?.value,
      expected: value,
    });
  }

  #inject(fault: Fault, { times = Infinity }: PolicyFaultOptions = {}): void {
    this.restore();
    let left = times;
    this.#lift = this.breakers.policy(this.name).injectFaults(() => (left-- > 0 ? fault : undefined));
  }
}
