import { HttpException, type DynamicModule, type FactoryProvider } from '@nestjs/common';
import { HealthCheckService, TerminusModule } from '@nestjs/terminus';
import type { HealthContributor, HealthReport, HealthStatus } from '../core/health.port.js';
import type { HealthSnapshot } from './health-group.js';
import { HealthFormatter, type HealthBody } from './health.formatter.js';

/**
 * Terminus as the mesh needs it, for `imports`: without its log line at every failing probe and without its own wait at
 * shutdown. A host's own TerminusModule is another instance, with its own settings.
 */
export function terminusModule(): DynamicModule {
  return TerminusModule.forRoot({ logger: false, gracefulShutdownTimeoutMs: 0 });
}

/** Provides {@link HealthFormatter}, to a module that imports {@link terminusModule}. */
export const terminusFormatterProvider: FactoryProvider<HealthFormatter> = {
  provide: HealthFormatter,
  inject: [HealthCheckService],
  useFactory: (service: HealthCheckService) => new TerminusFormatter(service),
};

/** Lets Terminus's own HealthCheckService write the answer. */
export class TerminusFormatter extends HealthFormatter {
  constructor(private readonly service: Pick<HealthCheckService, 'check'>) {
    super();
  }

  override async format(snapshot: HealthSnapshot): Promise<HealthBody> {
    const { info, error, details } = await this.#check(snapshot);
    // Terminus learns of the shutdown late, and then calls every check `shutting_down`, liveness included: we know better.
    return { status: wordFor(snapshot), info, error, details };
  }

  async #check({ entries }: HealthSnapshot): Promise<Omit<HealthBody, 'status'>> {
    try {
      const { info = {}, error = {}, details } = await this.service.check([() => ({ ...entries })]);
      return { info, error, details };
    } catch (error) {
      // A group that is down: Terminus throws what it would have answered.
      if (error instanceof HttpException && isBody(error.getResponse())) return error.getResponse() as HealthBody;
      throw error;
    }
  }
}

function isBody(response: unknown): response is HealthBody {
  return typeof response === 'object' && response !== null && 'details' in response;
}

function wordFor({ status, draining }: HealthSnapshot): string {
  if (draining) return 'shutting_down';
  return { up: 'ok', degraded: 'degraded', down: 'error' }[status];
}

/** What a Terminus indicator resolves with: one entry, or several. */
export type TerminusResult = Readonly<Record<string, { readonly status: string; readonly [detail: string]: unknown }>>;

/** A Terminus indicator: `() => this.db.pingCheck('db')`, or `() => this.indicators.check('db').attempt(…)`. */
export type TerminusIndicator = () => PromiseLike<TerminusResult> | TerminusResult;

/**
 * Makes a Terminus indicator a contributor: it then runs in the background, with a time limit, instead of at every probe.
 * An indicator with several entries is as well as its worst one.
 */
export function fromTerminus(
  name: string,
  indicator: TerminusIndicator,
  options: Pick<HealthContributor, 'groups' | 'everyMs' | 'timeoutMs' | 'weight'> = {},
): HealthContributor {
  return { ...options, name, check: async () => worstEntry(await readIndicator(indicator)) };
}

/** Older indicators throw what newer ones return. */
async function readIndicator(indicator: TerminusIndicator): Promise<TerminusResult> {
  try {
    return await indicator();
  } catch (error) {
    const { causes } = error as { causes?: unknown };
    if (typeof causes === 'object' && causes !== null) return causes as TerminusResult;
    throw error;
  }
}

const ORDER: readonly string[] = ['up', 'degraded', 'down'];

function worstEntry(result: TerminusResult): HealthReport {
  const entries = Object.entries(result ?? {});
  if (entries.length === 0) throw new TypeError('The Terminus indicator returned no entry.');
  // Terminus drops an entry whose status it does not know, which would make an unknown state a good one.
  for (const [key, entry] of entries) {
    if (!ORDER.includes(entry?.status))
      throw new TypeError(`The Terminus indicator's entry "${key}" has no known status.`);
  }
  const [[, { status, message, ...details }]] = entries.sort(
    ([, a], [, b]) => ORDER.indexOf(b.status) - ORDER.indexOf(a.status),
  ) as [[string, TerminusResult[string]]];
  return {
    status: status as HealthStatus,
    ...(typeof message === 'string' && { reason: message }),
    ...(entries.length > 1 ? { details: result } : Object.keys(details).length > 0 && { details }),
  };
}
