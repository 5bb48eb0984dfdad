import type { HealthSource, HealthSourceEntry } from '../core/health.port.js';
import { failureReport, toReport } from './health-report.js';

/** The passive things: read at every probe, remembered only to notice that something has changed. */
export class HealthSources {
  readonly #sources = new Map<string, HealthSource>();
  /** What the sources said the last time, word for word; copies, because a source may reuse its objects. */
  #raw: readonly HealthSourceEntry[] = [];
  #entries: readonly HealthSourceEntry[] = [];

  /** What can be shown: prefixed, masked, with a known status. */
  get entries(): readonly HealthSourceEntry[] {
    return this.#entries;
  }

  /** @returns the function that removes the source, or `undefined` when the prefix is taken. */
  add(prefix: string, source: HealthSource): (() => void) | undefined {
    if (this.#sources.has(prefix)) return undefined;
    this.#sources.set(prefix, source);
    return () => void this.#sources.delete(prefix);
  }

  /** Reads all sources; tells whether anything differs from the last time. */
  read(): boolean {
    const next: HealthSourceEntry[] = [];
    for (const [prefix, source] of this.#sources) readSource(prefix, source, next);
    if (next.length === this.#raw.length && next.every((entry, i) => isSame(entry, this.#raw[i]!))) return false;
    this.#raw = next;
    this.#entries = next.map(({ name, groups, statusWhenRequired, ...report }) => ({
      ...toReport(report),
      name,
      ...(groups && { groups }),
      ...(statusWhenRequired && { statusWhenRequired }),
    }));
    return true;
  }
}

function readSource(prefix: string, source: HealthSource, into: HealthSourceEntry[]): void {
  const count = into.length;
  try {
    for (const entry of source.readHealth()) into.push({ ...entry, name: `${prefix}:${entry.name}` });
  } catch (error) {
    into.length = count;
    into.push({ ...failureReport(error), name: prefix });
  }
}

function isSame(a: HealthSourceEntry, b: HealthSourceEntry): boolean {
  return (
    a.name === b.name &&
    a.status === b.status &&
    a.statusWhenRequired === b.statusWhenRequired &&
    a.reason === b.reason &&
    haveSameFields(a.groups, b.groups) &&
    haveSameFields(a.details, b.details)
  );
}

function haveSameFields(
  a: Readonly<Record<string, unknown>> | undefined,
  b: Readonly<Record<string, unknown>> | undefined,
): boolean {
  if (a === b) return true;
  if (!a || !b) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
