/** One decorated method that runs through a policy. */
export interface PolicyUse {
  /** As `ChargeService.charge`. */
  readonly origin: string;
  /** What its decorators say; `undefined` repeats only calls that were never sent. */
  readonly idempotent: boolean | undefined;
}

/** The decorated methods of each policy. Several may share one, and differ in what may be repeated. */
export class PolicyUses {
  readonly #uses = new Map<string, PolicyUse[]>();

  add(policy: string, use: PolicyUse): void {
    const uses = this.#uses.get(policy);
    if (uses) uses.push(use);
    else this.#uses.set(policy, [use]);
  }

  /** A method that declares itself not idempotent, when all methods of the policy do. */
  notIdempotent(policy: string): string | undefined {
    const uses = this.#uses.get(policy);
    return uses?.every(({ idempotent }) => idempotent === false) ? uses[0]!.origin : undefined;
  }
}
