import type { PolicyValue } from './policy-description.js';
import type { KeyedBreakerSettings, PolicySettings } from './policy-settings.js';
import { OFF_BY_DEFAULT, POLICY_DEFAULTS } from './resilience.constants.js';
import type { PolicyDeclaration, PolicyOptions } from './resilience.options.js';

/** Values for a policy from one place. */
export interface PolicyLayer {
  readonly source: string;
  readonly values: PolicyOptions | PolicyDeclaration;
  /** Whether it speaks of this policy by name, and not of many by a pattern, a group or the defaults. */
  readonly own?: boolean;
  /** Where configuration says it, below `resilience`: `['policies', 'http:*']`. Absent for what code says. */
  readonly at?: readonly string[] | undefined;
}

/** What one layer says of one value. */
export interface PolicyOrigin {
  readonly source: string;
  readonly at?: readonly string[] | undefined;
  readonly value: unknown;
}

/** What can be switched off as a whole with `false`, and on with an object. */
const PROTECTIONS = ['retry', 'rateLimit', 'bulkhead', 'circuitBreaker', 'hedge'] as const;
/** What is no protection, and so nothing that a decorator names or leaves out. */
const FAULT = 'fault';
const SWITCHES = new Set<string>([...PROTECTIONS, 'retry.budget', FAULT]);
const TIMEOUTS = ['timeoutMs', 'totalTimeoutMs'] as const;
const PATHS = new Set<string>([...PROTECTIONS, ...TIMEOUTS, FAULT]);

const BUILT_IN = 'default';

type LayerName = Pick<PolicyLayer, 'source' | 'at'>;

/** A value, and what it covers of weaker layers. */
interface Entry extends PolicyOrigin {
  readonly beneath: Entry | undefined;
}

/**
 * The values of one policy, layer upon layer, with the origin of each. Later layers win field by field; `false` only
 * switches a protection off, so a later layer that switches it on again finds the fields of the earlier ones.
 */
export class LayeredPolicy {
  readonly #fields = new Map<string, Entry>();
  readonly #switches = new Map<string, Entry>();

  constructor(layers: readonly PolicyLayer[]) {
    this.#merge(POLICY_DEFAULTS, { source: BUILT_IN }, '');
    for (const protection of OFF_BY_DEFAULT) this.#turn(protection, false, { source: BUILT_IN });
    for (const layer of layers) this.#apply(layer);
    // A hedge is a retry that does not wait for the failure: the default retry gives way to it.
    if (this.isOn('hedge') && this.sourceOf('retry') === BUILT_IN)
      this.#turn('retry', false, { source: this.sourceOf('hedge') });
  }

  isOn(protection: string): boolean {
    return this.#switches.get(protection)?.value === true;
  }

  get(path: string): unknown {
    return this.#fields.get(path)?.value;
  }

  number(path: string): number {
    return this.get(path) as number;
  }

  sourceOf(path: string): string {
    return (this.#fields.get(path) ?? this.#switches.get(path))?.source ?? BUILT_IN;
  }

  /** Whether somebody wrote the value down. */
  isExplicit(path: string): boolean {
    return this.sourceOf(path) !== BUILT_IN;
  }

  settings(): PolicySettings {
    const read = <T>(protection: string): T | false => (this.isOn(protection) ? this.#section<T>(protection) : false);
    const timeoutMs = this.get('timeoutMs') as number | false;
    const breaker = read<Omit<KeyedBreakerSettings, 'leaseMs'>>('circuitBreaker');
    return {
      timeoutMs,
      totalTimeoutMs: this.get('totalTimeoutMs') as number | false,
      retry: read('retry'),
      rateLimit: read('rateLimit'),
      bulkhead: read('bulkhead'),
      circuitBreaker: breaker && { ...breaker, leaseMs: Math.max(timeoutMs || 0, breaker.openMs) },
      hedge: read('hedge'),
      fault: read(FAULT),
    };
  }

  /** Every value that has an effect, and every protection that is off. */
  values(): PolicyValue[] {
    const off = [...this.#switches].filter(([, { value }]) => value === false);
    const fields = [...this.#fields].filter(([path]) => {
      const section = path.slice(0, path.lastIndexOf('.'));
      return section === '' || off.every(([name]) => section !== name && !section.startsWith(`${name}.`));
    });
    return [...fields, ...off]
      .map(([path, { value, source }]) => ({ path, value, source }))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /**
   * Who says what about `circuitBreaker.openMs`, the strongest first, or about the protection around it when that is off.
   * `undefined` when nobody says anything, or `path` is a protection that is on.
   */
  explain(path: string): { readonly path: string; readonly origins: readonly PolicyOrigin[] } | undefined {
    const off = [...this.#switches].find(
      ([name, { value }]) => value === false && (path === name || path.startsWith(`${name}.`)),
    );
    const found = off?.[0] ?? path;
    const origins: PolicyOrigin[] = [];
    for (let entry = off?.[1] ?? this.#fields.get(path); entry; entry = entry.beneath) origins.push(entry);
    return origins.length > 0 ? { path: found, origins } : undefined;
  }

  /** The values that differ from those of an earlier version. */
  changesSince(earlier: LayeredPolicy): { path: string; from: unknown; to: unknown }[] {
    const before = new Map(earlier.values().map(({ path, value }) => [path, value]));
    const after = new Map(this.values().map(({ path, value }) => [path, value]));
    return [...new Set([...before.keys(), ...after.keys()])]
      .filter((path) => before.get(path) !== after.get(path))
      .map((path) => ({ path, from: before.get(path), to: after.get(path) }));
  }

  #apply(layer: PolicyLayer): void {
    const { source, values } = layer;
    if ((values as PolicyDeclaration).onlyNamed) {
      const onlyItsOwn = { source: `${source} names only its own` };
      for (const protection of PROTECTIONS)
        if (values[protection] === undefined) this.#turn(protection, false, onlyItsOwn);
      for (const timeout of TIMEOUTS) if (values[timeout] === undefined) this.#set(timeout, false, onlyItsOwn);
    }
    this.#merge(values, layer, '');
    // Who asks for a time window no longer wants the count window of an earlier layer.
    const { circuitBreaker } = values;
    if (circuitBreaker && circuitBreaker.windowMs !== undefined && circuitBreaker.windowCalls === undefined)
      this.#set('circuitBreaker.windowCalls', false, { source });
  }

  #merge(values: object, layer: LayerName, prefix: string): void {
    for (const [key, value] of Object.entries(values) as [string, unknown][]) {
      const path = prefix + key;
      if (value === undefined || (prefix === '' && !PATHS.has(path))) continue;
      if (!SWITCHES.has(path)) this.#set(path, value, layer);
      else if (value === false) this.#turn(path, false, layer);
      else {
        this.#turn(path, true, layer);
        this.#merge(value as object, layer, `${path}.`);
      }
    }
  }

  #set(path: string, value: unknown, { source, at }: LayerName): void {
    this.#fields.set(path, { value, source, at, beneath: this.#fields.get(path) });
  }

  #turn(protection: string, on: boolean, { source, at }: LayerName): void {
    this.#switches.set(protection, { value: on, source, at, beneath: this.#switches.get(protection) });
  }

  #section<T>(protection: string): T {
    const section: Record<string, unknown> = {};
    const prefix = `${protection}.`;
    for (const [path, { value }] of this.#fields) {
      const field = path.slice(prefix.length);
      if (path.startsWith(prefix) && !field.includes('.')) section[field] = value;
    }
    if (protection === 'retry') section['budget'] = this.isOn('retry.budget') && this.#section('retry.budget');
    return section as T;
  }
}
