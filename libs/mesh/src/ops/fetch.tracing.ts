import type { TracedWork } from './traced-work.js';

type Init = RequestInit & { readonly propagate?: boolean };

/** `mesh.fetch`, as far as its span goes. */
interface Fetching {
  fetch(policy: string | { readonly name: string }, input: string | URL | Request, init?: Init): Promise<unknown>;
}

/**
 * Puts a span around each call, all its attempts included, in place. The URL's path and query stay out of it: they may
 * carry what nobody should read.
 */
export function traceFetch(target: Fetching, work: TracedWork): void {
  const fetch = target.fetch.bind(target);
  target.fetch = (policy, input, init) => {
    const url = urlOf(input);
    // The call itself says what is wrong with it.
    if (!url) return fetch(policy, input, init);
    const method = (init?.method ?? (input instanceof Request ? input.method : 'GET')).toUpperCase();
    const attributes = {
      'http.request.method': method,
      'server.address': url.hostname,
      ...(url.port !== '' && { 'server.port': Number(url.port) }),
      'mesh.policy': typeof policy === 'string' ? policy : policy.name,
    };
    return work.outgoing({ name: method, kind: 'client', attributes }, async (span) => {
      const answer = await fetch(
        policy,
        input,
        withTrace(input, init, (given) => work.headers(span, given)),
      );
      if (answer instanceof Response) span.set('http.response.status_code', answer.status);
      return answer;
    });
  };
}

/** Outside a call context nothing else would send the trace along. */
function withTrace(
  input: string | URL | Request,
  init: Init | undefined,
  add: (given: Readonly<Record<string, string>> | undefined) => Readonly<Record<string, string>> | undefined,
): Init | undefined {
  if (init?.propagate === false) return init;
  const given = init?.headers ?? (input instanceof Request ? input.headers : undefined);
  const headers = add(given && Object.fromEntries(new Headers(given)));
  return headers ? { ...init, headers } : init;
}

function urlOf(input: string | URL | Request): URL | undefined {
  const text = input instanceof Request ? input.url : String(input);
  return URL.canParse(text) ? new URL(text) : undefined;
}
