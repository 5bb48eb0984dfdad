import type { CallContexts } from '../../core/call-context.js';
import type { Clock } from '../../core/clock.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import type { Attempt } from '../../core/policy.port.js';
import type { ResiliencePolicy } from '../resilience-policy.js';
import { withContext } from './outgoing-headers.js';
import { isFailureStatus, UpstreamStatusError } from './upstream-status.error.js';

/** Methods that may be repeated without harm. @see https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2 */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

export interface MeshFetchInit extends RequestInit {
  /** Selects the breaker among those of the policy. @default the URL's host: one breaker per host */
  readonly key?: string;
  /** Whether the request may be sent twice without harm. @default what HTTP says of its method */
  readonly idempotent?: boolean;
  /** Epoch ms after which the call must be over; the context's deadline applies as well, whichever ends first. */
  readonly deadline?: number;
  /** Whether trace, correlation id and remaining time go out as headers. @default true */
  readonly propagate?: boolean;
}

export interface ReadingInit<T> extends MeshFetchInit {
  /**
   * Reads the answer inside the policy, so that its limits hold for the body too. A status of 5xx, 408 or 429 then
   * rejects with an {@link UpstreamStatusError}.
   */
  readonly read: (response: Response) => Promise<T> | T;
}

export interface MeshFetchDeps {
  readonly clock: Clock;
  readonly contexts: CallContexts;
}

/** The global `fetch`, through policies. */
export class MeshFetch {
  readonly #policyOf: (name: string) => ResiliencePolicy;
  readonly #deps: MeshFetchDeps;

  constructor(manager: { policy(name: string): ResiliencePolicy }, deps: MeshFetchDeps) {
    this.#policyOf = (name) => manager.policy(name);
    this.#deps = deps;
  }

  /**
   * Sends a request through the policy. A status of 5xx, 408 or 429 counts as a failure and is repeated as the policy and
   * the method allow; the last answer is then the caller's, whatever its status, as with `fetch` itself.
   *
   * The policy's limits end when the headers have come; with `read` they hold until the body is read.
   */
  fetch(policy: string | ResiliencePolicy, input: string | URL | Request, init?: MeshFetchInit): Promise<Response>;
  fetch<T>(policy: string | ResiliencePolicy, input: string | URL | Request, init: ReadingInit<T>): Promise<T>;
  async fetch<T>(
    policy: string | ResiliencePolicy,
    input: string | URL | Request,
    init: MeshFetchInit | ReadingInit<T> = {},
  ): Promise<Response | T> {
    const handle = typeof policy === 'string' ? this.#policyOf(policy) : policy;
    return new FetchCall(handle, input, init, this.#deps).run();
  }
}

/** One `fetch` with all its attempts. Every answer that does not go to the caller is discarded, or its socket would hang. */
class FetchCall<T> {
  readonly #unused = new Set<Response>();
  readonly #url: URL;
  readonly #method: string;
  #over = false;

  constructor(
    private readonly policy: ResiliencePolicy,
    private readonly input: string | URL | Request,
    private readonly init: MeshFetchInit | ReadingInit<T>,
    private readonly deps: MeshFetchDeps,
  ) {
    const url = input instanceof Request ? input.url : String(input);
    if (!URL.canParse(url))
      throw new MeshConfigError(`Policy "${policy.name}" can't fetch "${url}": it needs an absolute URL.`);
    this.#url = new URL(url);
    this.#method = (init.method ?? (input instanceof Request ? input.method : 'GET')).toUpperCase();
  }

  async run(): Promise<Response | T> {
    const { policy, init } = this;
    const { key = this.#url.host, idempotent = IDEMPOTENT.has(this.#method), deadline } = init;
    const signal = this.#callerSignal();
    let answer: Response | undefined;
    try {
      return await policy.execute((attempt) => this.#send(attempt, signal), {
        key,
        idempotent,
        ...(signal && { signal }),
        ...(deadline !== undefined && { deadline }),
        mayRepeat: () => this.#isReplayable(),
      });
    } catch (error) {
      if (!(error instanceof UpstreamStatusError) || !this.#unused.has(error.answer) || 'read' in init) throw error;
      answer = error.answer;
      return answer;
    } finally {
      this.#over = true;
      for (const response of this.#unused) if (response !== answer) discard(response);
    }
  }

  async #send(attempt: Attempt, caller: AbortSignal | undefined): Promise<Response | T> {
    const { init, input, deps, policy } = this;
    const { key: _key, idempotent: _idempotent, deadline: _deadline, propagate = true, ...request } = init;
    const given = request.headers ?? (input instanceof Request ? input.headers : undefined);
    const response = await globalThis.fetch(input instanceof Request ? input.clone() : input, {
      ...request,
      // The attempt's signal ends with the attempt; the caller's must also reach a body that is still being read.
      signal: caller ? AbortSignal.any([attempt.signal, caller]) : attempt.signal,
      ...(propagate && { headers: withContext(given, deps.contexts.current(), attempt.remainingMs) }),
    });
    if (this.#over) {
      discard(response);
      return response;
    }
    if (isFailureStatus(response.status)) {
      this.#unused.add(response);
      throw new UpstreamStatusError(policy.name, response, deps.clock.now());
    }
    return 'read' in init ? init.read(response) : response;
  }

  #callerSignal(): AbortSignal | undefined {
    return this.init.signal ?? (this.input instanceof Request ? this.input.signal : undefined);
  }

  /** A stream can be sent once only. */
  #isReplayable(): boolean {
    const { body } = this.init;
    return !(
      body instanceof ReadableStream ||
      (typeof body === 'object' && body !== null && Symbol.asyncIterator in body)
    );
  }
}

/** Frees the connection of an answer that nobody reads. That it is broken by then is of no interest to anybody. */
function discard(response: Response): void {
  response.body?.cancel().catch(() => undefined);
}
