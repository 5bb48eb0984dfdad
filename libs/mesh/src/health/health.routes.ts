import type { HealthGroup } from '../core/health.port.js';
import type { LiveOptions } from '../core/live-options.js';
import type { RawRequest, RawResponse, RawRoute } from '../core/raw-route.js';
import type { HealthAggregator } from './health.aggregator.js';
import type { HealthSnapshot } from './health-group.js';
import type { HealthBody, HealthFormatter } from './health.formatter.js';
import type { HealthOptions } from './health.options.js';

/** Who sees more than a probe's status. A function that throws, or answers anything but `true`, means no. */
export type HealthDetails = 'never' | 'always' | ((request: RawRequest) => boolean);

export interface HealthRoutesDeps {
  readonly health: HealthAggregator;
  readonly formatter: HealthFormatter;
  readonly options: LiveOptions<HealthOptions>;
  /** The application's own rule, which only code can give; wins over the configured one. */
  readonly details?: HealthDetails | undefined;
}

/** The probe routes of the configured paths; none when `http` is false. Paths hold until the next start. */
export function healthRoutes(deps: HealthRoutesDeps): readonly RawRoute[] {
  const { http } = deps.options.current;
  if (http === false) return [];
  return Object.entries(http.paths).map(([group, path]) => {
    const probe = new HealthProbe(group, deps);
    return { method: 'GET', path, handle: (request) => probe.answer(request) };
  });
}

interface Answer {
  readonly snapshot: HealthSnapshot;
  response: RawResponse | Promise<RawResponse>;
}

/** Answers one group's route. Both answers of a snapshot - the short and the full one - are written once and kept. */
class HealthProbe {
  #short: Answer | undefined;
  #full: Answer | undefined;

  constructor(
    private readonly group: HealthGroup,
    private readonly deps: HealthRoutesDeps,
  ) {}

  answer(request: RawRequest): RawResponse | Promise<RawResponse> {
    const snapshot = this.deps.health.snapshot(this.group);
    if (this.#showsDetails(request)) {
      if (this.#full?.snapshot !== snapshot) this.#full = this.#write(snapshot, (body) => body);
      return this.#full.response;
    }
    if (this.#short?.snapshot !== snapshot) this.#short = this.#write(snapshot, withoutDetails);
    return this.#short.response;
  }

  #write(snapshot: HealthSnapshot, shape: (body: HealthBody) => HealthBody): Answer {
    const response = this.deps.formatter.format(snapshot).then((body) => this.#respond(snapshot, shape(body)));
    const answer: Answer = { snapshot, response };
    void response.then(
      (written) => (answer.response = written),
      // The next probe tries again; this one's caller gets the rejection.
      () => {
        if (this.#short === answer) this.#short = undefined;
        if (this.#full === answer) this.#full = undefined;
      },
    );
    return answer;
  }

  #respond({ status }: HealthSnapshot, body: HealthBody): RawResponse {
    const isDown = status === 'down';
    return {
      status: isDown ? 503 : 200,
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'cache-control': 'no-store',
        // By then every contributor has been asked again.
        ...(isDown && { 'retry-after': String(Math.ceil(this.deps.options.current.everyMs / 1_000)) }),
      },
      body: JSON.stringify(body),
    };
  }

  #showsDetails(request: RawRequest): boolean {
    const rule = this.deps.details ?? this.deps.options.current.details;
    if (typeof rule !== 'function') return rule === 'always';
    try {
      const answer: unknown = rule(request);
      // A promise is no yes; that it rejects is nobody's fault but the rule's.
      if (answer instanceof Promise) answer.catch(() => undefined);
      return answer === true;
    } catch {
      return false;
    }
  }
}

function withoutDetails({ status }: HealthBody): HealthBody {
  return { status, info: {}, error: {}, details: {} };
}
