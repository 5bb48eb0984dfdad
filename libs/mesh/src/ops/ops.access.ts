import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import type { Clock } from '../core/clock.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MeshEvents } from '../core/mesh.events.js';
import type { RawRequest } from '../core/raw-route.js';
import { OpsForbiddenError, OpsLockedOutError, OpsUnauthorizedError } from './ops.errors.js';
import type { OpsOptions } from './ops.options.js';
import { WrongTokens } from './wrong-tokens.js';

export type OpsScope = 'read' | 'write';

/**
 * Decides in place of loopback and tokens who may use the endpoints. A text says yes and names who it is, for the audit.
 * Whatever throws, or is neither `true` nor a text, is a no.
 */
export type OpsGuard = (request: RawRequest, scope: OpsScope) => boolean | string | Promise<boolean | string>;

const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'] as const;
const BEARER = /^Bearer +([^\s]+) *$/i;
/** What an operator calls himself ends up in logs. */
const SANE_NAME = /^[\w.:@+ -]{1,64}$/;

export interface OpsAccessDeps {
  readonly clock: Clock;
  readonly events: MeshEvents;
  readonly guard?: OpsGuard | undefined;
}

/** Who may use the operators' endpoints: the guard of the application; else whoever has a token; else, to read, this machine. */
export class OpsAccess {
  readonly #options: LiveOptions<OpsOptions>;
  readonly #guard: OpsGuard | undefined;
  readonly #events: MeshEvents;
  readonly #wrongTokens: WrongTokens;

  constructor(options: LiveOptions<OpsOptions>, { clock, events, guard }: OpsAccessDeps) {
    this.#options = options;
    this.#guard = guard;
    this.#events = events;
    this.#wrongTokens = new WrongTokens(clock);
  }

  /**
   * Resolves with who it is, for the audit.
   * @throws {OpsUnauthorizedError} when a token is needed and it is not there or wrong.
   * @throws {OpsLockedOutError} while too many wrong ones have come from the same address.
   * @throws {OpsForbiddenError} for everybody else who may not.
   */
  async admit(request: RawRequest, scope: OpsScope): Promise<string> {
    const right = await this.#rightOf(request, scope);
    if (scope === 'read') return right;
    // A browser can't send it to another origin without asking first, and is then refused.
    const name = request.headers['x-mesh-ops'];
    if (typeof name !== 'string' || !SANE_NAME.test(name))
      throw new OpsForbiddenError('A change needs the header "X-Mesh-Ops: <your name>", of 1 to 64 plain characters.');
    return `${right} (${name.trim()})`;
  }

  async #rightOf(request: RawRequest, scope: OpsScope): Promise<string> {
    if (this.#guard) return this.#askGuard(this.#guard, request, scope);
    const { read, write } = this.#options.current.tokens;
    if (read === undefined && write === undefined) return this.#loopback(request, scope);
    const given = BEARER.exec(request.headers.authorization ?? '')?.[1];
    if (given === undefined) throw new OpsUnauthorizedError();
    // Also for the right one: a guesser would otherwise learn which it is.
    const lockedOutMs = this.#wrongTokens.lockedOutMs(request.remoteAddress);
    if (lockedOutMs > 0) throw new OpsLockedOutError(lockedOutMs);
    // Both are compared, whatever the first says, so that time tells nothing.
    const mayWrite = isSame(given, write);
    const mayRead = isSame(given, read);
    if (mayWrite) return 'write token';
    if (!mayRead) this.#refuseToken(request);
    if (scope === 'write') throw new OpsForbiddenError('This token may read only; a change needs the write token.');
    return 'read token';
  }

  #refuseToken({ remoteAddress }: RawRequest): never {
    if (this.#wrongTokens.note(remoteAddress))
      this.#events.emit('ops.locked-out', { remoteAddress: remoteAddress ?? 'unknown' });
    throw new OpsUnauthorizedError();
  }

  #loopback(request: RawRequest, scope: OpsScope): string {
    if (scope === 'write')
      throw new OpsForbiddenError('Nobody may change anything without a token; set ops.tokens.write, or give a guard.');
    if (!isLoopback(request))
      throw new OpsForbiddenError('Only this machine may read without a token; set ops.tokens.read, or give a guard.');
    return 'loopback';
  }

  async #askGuard(guard: OpsGuard, request: RawRequest, scope: OpsScope): Promise<string> {
    let verdict: unknown = false;
    try {
      verdict = await guard(request, scope);
    } catch {
      // What it throws may hold what nobody should read; that it says no is all there is to tell.
    }
    if (verdict === true) return 'guard';
    if (typeof verdict === 'string' && verdict !== '') return verdict;
    throw new OpsForbiddenError('The guard of the application refused it.');
  }
}

/** Constant in time: digests of one length are compared, not the texts. */
function isSame(given: string, expected: string | undefined): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected ?? '')) && expected !== undefined;
}

/**
 * Whether the request comes from this machine, and from a program that meant it: not through a proxy that runs beside
 * the service, and not from a browser that a foreign page has led here under a name of its own.
 */
function isLoopback({ remoteAddress, headers }: RawRequest): boolean {
  if (remoteAddress === undefined || !isLoopbackAddress(remoteAddress)) return false;
  if (FORWARDED.some((name) => headers[name] !== undefined)) return false;
  const host = (headers.host ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return host === 'localhost' || isLoopbackAddress(host);
}

function isLoopbackAddress(address: string): boolean {
  const plain = address.replace(/^::ffff:/i, '');
  return plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'));
}
