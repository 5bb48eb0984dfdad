import type { ServerResponse } from 'node:http';
import type { CallContext } from '../core/call-context.js';

const OPEN = Symbol('nestjs-mesh open request');

/** A request whose response is not over yet. */
export class OpenRequest {
  /** Where it stands in the list of the requests that it is open with. */
  place = 0;
  among: OpenRequests | undefined;

  constructor(
    /** The adapter's own object, which knows its route. */
    readonly request: object,
    readonly response: ServerResponse & { [OPEN]?: OpenRequest },
    readonly context: CallContext,
    /** On the monotonic clock, in ms. */
    readonly startedAt: number,
  ) {}
}

/**
 * The requests whose responses are not over yet. A list that the last one fills up, and one listener for all: with a
 * `Set` and a closure for each, what a request leaves behind keeps later requests from being collected young, which can
 * cost as much as all else that the mesh does for a request.
 */
export class OpenRequests implements Iterable<OpenRequest> {
  readonly #list: OpenRequest[] = [];
  readonly #onOver: (request: OpenRequest) => void;

  /** `onOver` is told of each request that is over, when it is none of these any more. */
  constructor(onOver: (request: OpenRequest) => void) {
    this.#onOver = onOver;
  }

  get size(): number {
    return this.#list.length;
  }

  add(request: OpenRequest): void {
    request.among = this;
    request.place = this.#list.push(request) - 1;
    request.response[OPEN] = request;
    // Emitted once, whatever happens: `once` would wrap the listener for nothing.
    request.response.on('close', onClose);
  }

  over(request: OpenRequest): void {
    const last = this.#list.pop()!;
    if (last !== request) {
      last.place = request.place;
      this.#list[last.place] = last;
    }
    this.#onOver(request);
  }

  [Symbol.iterator](): Iterator<OpenRequest> {
    return this.#list[Symbol.iterator]();
  }
}

function onClose(this: OpenRequest['response']): void {
  const request = this[OPEN]!;
  request.among!.over(request);
}
