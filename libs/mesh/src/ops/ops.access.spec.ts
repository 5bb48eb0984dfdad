import { describe, expect, it } from 'vitest';
import { MeshEvents } from '../core/mesh.events.js';
import { fixedOptions } from '../core/live-options.js';
import type { RawRequest } from '../core/raw-route.js';
import { maskText } from '../core/secrets.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { OpsAccess, type OpsGuard } from './ops.access.js';
import { LOCK_OUT_MS, MAX_WRONG_TOKENS } from './ops.constants.js';
import { opsSchema } from './ops.options.js';

const READ = 'a-token-for-reading';
const WRITE = 'a-token-for-writing';

function request(given: Partial<RawRequest> = {}): RawRequest {
  return {
    method: 'GET',
    path: '/mesh',
    query: new URLSearchParams(),
    headers: { host: 'localhost:3000', 'x-mesh-ops': 'alice', ...given.headers },
    remoteAddress: given.remoteAddress ?? '127.0.0.1',
  };
}

const clock = new VirtualClock();
const events = new MeshEvents();
const access = (tokens: object = {}, guard?: OpsGuard) =>
  new OpsAccess(fixedOptions(opsSchema.parse({ tokens })), { clock, events, guard });

describe('OpsAccess', () => {
  describe('without tokens', () => {
    it.each(['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1'])('lets %s read', async (remoteAddress) => {
      await expect(access().admit(request({ remoteAddress }), 'read')).resolves.toBe('loopback');
    });

    it.each(['10.0.0.7', '::ffff:10.0.0.7', '2001:db8::1', '127.evil', ''])('refuses %s', async (remoteAddress) => {
      await expect(access().admit(request({ remoteAddress }), 'read')).rejects.toMatchObject({
        code: 'MESH_OPS_FORBIDDEN',
      });
    });

    it.each(['x-forwarded-for', 'forwarded', 'x-real-ip', 'x-forwarded-host'])(
      'does not take a proxy beside the service for this machine: %s',
      async (name) => {
        await expect(access().admit(request({ headers: { [name]: '127.0.0.1' } }), 'read')).rejects.toThrow();
      },
    );

    it.each(['evil.example', 'evil.example:3000', '127.0.0.1.evil.example', ''])(
      'does not let a browser in that was led here as %j',
      async (host) => {
        await expect(access().admit(request({ headers: { host } }), 'read')).rejects.toThrow();
      },
    );

    it.each(['127.0.0.1:80', '[::1]:3000', 'localhost'])('knows itself as %s', async (host) => {
      await expect(access().admit(request({ headers: { host } }), 'read')).resolves.toBe('loopback');
    });

    it('lets nobody change anything', async () => {
      await expect(access().admit(request(), 'write')).rejects.toThrow('ops.tokens.write');
    });

    it.each(['read', 'write'] as const)(
      'says what to set to %s, in words that no masking takes for a secret',
      async (scope) => {
        const error = await access()
          .admit(request({ remoteAddress: '10.0.0.1' }), scope)
          .catch((refused: Error) => refused);
        expect(maskText((error as Error).message)).toContain(`set ops.tokens.${scope}`);
      },
    );
  });

  describe('with tokens', () => {
    const both = access({ read: READ, write: WRITE });
    const bearer = (token: string) => request({ headers: { authorization: `Bearer ${token}` } });

    it('tells who reads and who writes by their tokens', async () => {
      expect(await both.admit(bearer(READ), 'read')).toBe('read token');
      expect(await both.admit(bearer(WRITE), 'read')).toBe('write token');
      expect(await both.admit(bearer(WRITE), 'write')).toBe('write token (alice)');
    });

    it('does not let the reading token write', async () => {
      await expect(both.admit(bearer(READ), 'write')).rejects.toMatchObject({ code: 'MESH_OPS_FORBIDDEN' });
    });

    it.each(['', `Bearer ${READ}x`, `Bearer ${READ.slice(1)}`, READ, 'Bearer ', `Basic ${READ}`])(
      'does not know %j, on this machine either',
      async (authorization) => {
        const stranger = request({ headers: { authorization } });
        await expect(both.admit(stranger, 'read')).rejects.toMatchObject({ code: 'MESH_OPS_UNAUTHORIZED' });
      },
    );

    it('takes an absent token for none, not for an empty one', async () => {
      const writeOnly = access({ write: WRITE });
      await expect(writeOnly.admit(bearer('undefined'), 'read')).rejects.toThrow();
      expect(await writeOnly.admit(bearer(WRITE), 'read')).toBe('write token');
    });

    it.each([undefined, '', 'line\nbreak', 'x'.repeat(65)])('refuses a change by the name %j', async (name) => {
      const headers = { authorization: `Bearer ${WRITE}`, 'x-mesh-ops': name };
      await expect(both.admit(request({ headers }), 'write')).rejects.toThrow('X-Mesh-Ops');
    });
  });

  describe('that are guessed', () => {
    const bearer = (token: string, remoteAddress = '10.0.0.7') =>
      request({ headers: { authorization: `Bearer ${token}` }, remoteAddress });

    it('are not looked at for a while, the right one included, and that is told once', async () => {
      const lockedOut: string[] = [];
      events.on('ops.locked-out', ({ remoteAddress }) => lockedOut.push(remoteAddress));
      const guessed = access({ read: READ });
      for (let i = 0; i < MAX_WRONG_TOKENS; i++)
        await expect(guessed.admit(bearer(`guess-${i}`), 'read')).rejects.toMatchObject({
          code: 'MESH_OPS_UNAUTHORIZED',
        });
      await expect(guessed.admit(bearer(READ), 'read')).rejects.toMatchObject({
        code: 'MESH_OPS_LOCKED_OUT',
        retryAfterMs: LOCK_OUT_MS,
      });
      expect(await guessed.admit(bearer(READ, '10.0.0.8'), 'read')).toBe('read token');
      await clock.advance(LOCK_OUT_MS);
      expect(await guessed.admit(bearer(READ), 'read')).toBe('read token');
      expect(lockedOut).toEqual(['10.0.0.7']);
    });

    it('count only when they are there: a browser asks without one first', async () => {
      const guessed = access({ read: READ });
      for (let i = 0; i < 2 * MAX_WRONG_TOKENS; i++)
        await expect(guessed.admit(request({ remoteAddress: '10.0.0.7' }), 'read')).rejects.toThrow();
      expect(await guessed.admit(bearer(READ), 'read')).toBe('read token');
    });
  });

  describe('with a guard of the application', () => {
    it('asks nobody else, and takes the name that it gives', async () => {
      const guard: OpsGuard = (_request, scope) => (scope === 'read' ? true : Promise.resolve('bob'));
      const guarded = access({ read: READ }, guard);
      const far = request({ remoteAddress: '10.0.0.7' });
      expect(await guarded.admit(far, 'read')).toBe('guard');
      expect(await guarded.admit(far, 'write')).toBe('bob (alice)');
    });

    it.each<[string, OpsGuard]>([
      ['false', () => false],
      ['an empty name', () => ''],
      ['something else', () => ({ ok: true }) as never],
      ['an error', () => Promise.reject(new Error('planted'))],
    ])('takes %s for a no', async (_what, guard) => {
      await expect(access({}, guard).admit(request(), 'read')).rejects.toThrow('guard of the application');
    });
  });
});

it('does not take a token that is easily guessed', () => {
  expect(opsSchema.safeParse({ tokens: { write: 'short' } }).success).toBe(false);
});
