import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';

/** A response as it went out. */
export interface SentResponse {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Buffer;
}

interface FastifyReplyLike {
  readonly raw: ServerResponse;
  header(name: string, value: string): unknown;
  getHeader(name: string): string | number | string[] | undefined;
  code(status: number): unknown;
  send(body?: unknown): unknown;
}

type PlatformResponse = ServerResponse | FastifyReplyLike;

/** What is left of the platform's difference: Fastify keeps headers in its reply and hands them over at the end. */
export class HttpExchange {
  readonly #raw: ServerResponse;
  #isAnswered = false;

  constructor(
    readonly request: IncomingMessage & { readonly originalUrl?: string; readonly raw?: IncomingMessage },
    private readonly response: PlatformResponse,
  ) {
    this.#raw = isReply(response) ? response.raw : response;
  }

  /** Whether the response is on its way already. */
  get isSent(): boolean {
    return this.#raw.headersSent;
  }

  setHeader(name: string, value: string): void {
    if (isReply(this.response)) this.response.header(name, value);
    else this.response.setHeader(name, value);
  }

  /** Adds to what somebody else (CORS, say) has already declared the response to depend on. */
  addVary(names: readonly string[]): void {
    const declared = this.response.getHeader('vary');
    this.setHeader('Vary', [...(declared === undefined ? [] : [declared].flat()), ...names].join(', '));
  }

  /** Sends at once; what Nest makes of the handler's result afterwards goes nowhere. */
  send(status: number, headers: Readonly<Record<string, string>>, body: Buffer | undefined): void {
    this.#isAnswered = true;
    for (const [name, value] of Object.entries(headers)) this.setHeader(name, value);
    if (isReply(this.response)) {
      this.response.code(status);
      this.response.send(body);
    } else {
      this.response.statusCode = status;
      this.response.end(body);
    }
    for (const name of ['send', 'json', 'render', 'redirect'])
      if (name in this.response) Object.assign(this.response, { [name]: () => this.response });
  }

  /** Lets nobody find out that the client has the response already: a 304 would leave nothing to keep. */
  hideConditions(): void {
    for (const name of ['if-none-match', 'if-modified-since']) delete this.request.headers[name];
  }

  /**
   * Calls back once the response goes out: with what was sent, or nothing for more than `maxBytes`, for what came out of
   * the cache, and for a stream, as soon as it begins.
   * Whoever wrapped the response before, as compression does, still sees every byte.
   */
  capture(maxBytes: number, onSent: (sent: SentResponse | undefined) => void): void {
    const raw = this.#raw;
    const { write, end, writeHead } = raw;
    let handedOver: OutgoingHttpHeaders = {};
    let isStream = false;
    raw.writeHead = ((...args: unknown[]) => {
      handedOver = lowerCased(args.at(-1));
      return Reflect.apply(writeHead, raw, args) as ServerResponse;
    }) as typeof writeHead;
    raw.write = ((...args: unknown[]) => {
      if (!isStream) onSent(undefined);
      isStream = true;
      return Reflect.apply(write, raw, args) as boolean;
    }) as typeof write;
    raw.end = ((...args: unknown[]) => {
      const [chunk, encoding] = args;
      const body =
        typeof chunk === 'string' || chunk instanceof Uint8Array ? toBuffer(chunk, encoding) : Buffer.alloc(0);
      const headers = { ...raw.getHeaders(), ...handedOver };
      const status = raw.statusCode;
      Object.assign(raw, { write, end, writeHead });
      const result = Reflect.apply(end, raw, args) as ServerResponse;
      if (!isStream) onSent(this.#isAnswered || body.length > maxBytes ? undefined : { status, headers, body });
      return result;
    }) as typeof end;
  }
}

function isReply(response: PlatformResponse): response is FastifyReplyLike {
  return 'raw' in response;
}

function toBuffer(chunk: string | Uint8Array, encoding: unknown): Buffer {
  if (typeof chunk === 'string')
    return Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8');
  return Buffer.from(chunk);
}

function lowerCased(headers: unknown): OutgoingHttpHeaders {
  if (typeof headers !== 'object' || headers === null) return {};
  const entries: readonly (readonly [string, OutgoingHttpHeaders[string]])[] = Array.isArray(headers)
    ? Array.from(
        { length: headers.length / 2 },
        (_, i) => [String(headers[2 * i]), headers[2 * i + 1] as string] as const,
      )
    : Object.entries(headers);
  return Object.fromEntries(entries.map(([name, value]) => [name.toLowerCase(), value]));
}
