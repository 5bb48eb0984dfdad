import type { MeshEventMap } from 'nestjs-mesh';
import { afterEach, describe, expect, it } from 'vitest';
import { client, type OpsApp, type Platform, READ, SECRET, startOps, WRITE } from './ops-app.js';

let running: OpsApp | undefined;

async function start(platform: Platform, ...rest: [Parameters<typeof startOps>[1]?, Parameters<typeof startOps>[2]?]) {
  running = await startOps(platform, ...rest);
  const writes: MeshEventMap['ops.write'][] = [];
  running.mesh.events.on('ops.write', (write) => writes.push(write));
  return { ...running, ...client(running.url), writes };
}

afterEach(async () => {
  await running?.app.close();
  running = undefined;
});

describe.each(['Express', 'Fastify'] as const)("the operators' endpoints on %s", (platform) => {
  it('stand beside a host whose prefix, versions, throttler and guard they do not meet', async () => {
    const { get, url } = await start(platform);
    const { status, headers, json } = await get('/mesh');
    expect(status).toBe(200);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(json).toMatchObject({ service: 'orders', instance: 'orders-1', phase: 'ready', ready: true, generation: 1 });
    expect(json.endpoints).toContain('POST breakers/:name');
    const host = async () => (await fetch(`${url}/api/v1/open`)).status;
    expect([await host(), await host(), await host()]).toEqual([403, 403, 429]);
    for (const path of ['/mesh', '/metrics', '/health/live', '/health/ready', '/health/startup'])
      for (let i = 0; i < 4; i++) expect([path, (await get(path)).status]).toEqual([path, 200]);
  });

  it('shows the graph of the components with states and start times', async () => {
    const { get } = await start(platform);
    const { components } = (await get('/mesh/components')).json;
    expect(components.find(({ name }: { name: string }) => name === 'broker')).toMatchObject({
      state: 'running',
      dependsOn: ['resilience'],
      startMs: expect.any(Number),
    });
  });

  it('shows the health of every part, with score and history, and of one', async () => {
    const { get, mesh } = await start(platform);
    mesh.health.register({ name: 'db/main', groups: { ready: 'required' }, check: () => undefined });
    await mesh.health.checkNow('db/main');
    mesh.health.update('db/main', { status: 'degraded', reason: 'a replica is away' });
    const { score, groups, components } = (await get('/mesh/health')).json;
    expect(score).toBeLessThan(100);
    expect(groups).toMatchObject({ live: 'up', ready: 'degraded' });
    const one = { name: 'db/main', state: 'degraded', reason: 'a replica is away', history: { availability: 1 } };
    expect(components).toContainEqual(expect.objectContaining({ name: 'db/main' }));
    expect((await get('/mesh/health/db%2Fmain')).json).toMatchObject(one);
  });

  it('isolates, releases, disables and resets a breaker, and each is an event', async () => {
    const { post, get, breakers, writes } = await start(platform);
    const path = '/mesh/breakers/payments.charge';
    const isolated = await post(path, { action: 'isolate', reason: 'provider is down', ttlMs: 60_000 });
    expect(isolated.json).toMatchObject({
      state: 'isolated',
      held: { reason: 'provider is down', author: 'write token (alice)' },
    });
    expect(breakers.breaker('payments.charge').state).toBe('isolated');
    expect((await get('/mesh/breakers')).json.breakers).toMatchObject([
      { policy: 'payments.charge', state: 'isolated' },
    ]);

    expect((await post(path, { action: 'release' })).json.state).toBe('closed');
    expect((await post(path, { action: 'disable', reason: 'false alarm' })).json.state).toBe('disabled');
    expect((await post(path, { action: 'reset' })).json.state).toBe('closed');
    expect(writes).toHaveLength(4);
    expect(writes[0]).toEqual({
      who: 'write token (alice)',
      what: 'isolate breaker "payments.charge" for 60000 ms: provider is down',
      path,
      status: 200,
    });
  });

  it.each([
    ['GET', '/mesh/nothing'],
    ['GET', '/mesh/health/nobody'],
    ['GET', '/mesh/breakers/payments.chrage'],
    ['POST', '/mesh/breakers/payments.chrage'],
    ['GET', '/mesh/breakers/http:anything'],
    ['GET', '/mesh/breakers/unprotected'],
    ['GET', '/mesh/config/explain?path=cache.ttlMz'],
  ])('%s %s is 404', async (method, path) => {
    const { ask } = await start(platform);
    const { status, json, headers } = await ask(method, path, method === 'POST' ? { action: 'reset' } : undefined);
    expect([status, json.code]).toEqual([404, 'MESH_OPS_NOT_FOUND']);
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('does not make a breaker for a key that no call has used', async () => {
    const { post, breakers } = await start(platform);
    const body = { action: 'reset', key: 'tenant-1' };
    expect((await post('/mesh/breakers/payments.charge', body)).status).toBe(404);
    expect(breakers.list()).toEqual([]);
  });

  it.each<[string, string, unknown, RegExp]>([
    ['no JSON', '/mesh/breakers/payments.charge', '{ "action": ', /not valid JSON/],
    ['an unknown action', '/mesh/breakers/payments.charge', { action: 'burn' }, /action/],
    ['no reason', '/mesh/breakers/payments.charge', { action: 'isolate' }, /reason/],
    ['a field too many', '/mesh/breakers/payments.charge', { action: 'reset', ttl: 1 }, /ttl/],
    ['a level that does not exist', '/mesh/log-level', { level: 'loud' }, /level/],
    ['a generation that is no number', '/mesh/config/rollback', { generation: 'one' }, /generation/],
  ])('answers %s with 400 and what is wrong', async (_what, path, body, problem) => {
    const { post, writes } = await start(platform);
    const { status, json } = await post(path, body);
    expect([status, json.code]).toEqual([400, 'MESH_OPS_BAD_REQUEST']);
    expect(json.details.problems.join()).toMatch(problem);
    expect(writes).toEqual([]);
  });

  it('answers a wrong method with 405 and a body that is too long with 413', async () => {
    const { ask, post } = await start(platform);
    const { status, headers } = await ask('DELETE', '/mesh/config');
    expect([status, headers.get('allow')]).toEqual([405, 'GET, PATCH']);
    expect((await post('/mesh/drain', { reason: 'x'.repeat(300_000) })).status).toBe(413);
  });

  describe('configuration', () => {
    it('shows what is in force and why, and explains one option', async () => {
      const { get } = await start(platform);
      const { json } = await get('/mesh/config');
      expect(json.options).toContainEqual(
        expect.objectContaining({ path: 'cache.ttlMs', value: 1_000, source: 'module options' }),
      );
      expect((await get('/mesh/config/explain?path=cache.ttlMs')).json).toMatchObject({
        value: 1_000,
        overrode: [{ source: 'default', value: 30_000 }],
      });
      const { message } = (await get('/mesh/config/explain?path=cache.ttlMz')).json;
      expect(message).toContain('did you mean "cache.ttlMs"?');
    });

    it('is checked, changed and rolled back', async () => {
      const { get, patch, post, mesh, writes } = await start(platform);
      const dry = await patch('/mesh/config?dryRun=true', { cache: { ttlMs: 2_000 } });
      expect(dry.json).toMatchObject({
        outcome: 'checked',
        generation: 1,
        changes: [{ path: 'cache.ttlMs', to: 2_000 }],
      });
      expect(mesh.config.snapshot.cache.ttlMs).toBe(1_000);
      expect(writes).toEqual([]);

      const changed = await patch('/mesh/config?expectedGeneration=1&healthWindowMs=0', { cache: { ttlMs: 3_000 } });
      expect(changed.json).toMatchObject({ outcome: 'applied', generation: 2 });
      expect(mesh.config.snapshot.cache.ttlMs).toBe(3_000);
      expect(
        (await patch('/mesh/config?expectedGeneration=1&healthWindowMs=0', { cache: { ttlMs: 4_000 } })).status,
      ).toBe(409);
      expect((await get('/mesh/config/history')).json.generations[0].source).toBe('ops, write token (alice)');

      expect((await post('/mesh/config/rollback?healthWindowMs=0', { generation: 1 })).json).toMatchObject({
        generation: 3,
      });
      expect(mesh.config.snapshot.cache.ttlMs).toBe(1_000);
      expect((await post('/mesh/config/rollback', { generation: 77 })).status).toBe(404);
      expect(writes.map(({ what, status }) => [what, status])).toEqual([
        ['change configuration of cache', 200],
        ['change configuration of cache', 409],
        ['roll configuration back to generation 1', 200],
        ['roll configuration back to generation 77', 404],
      ]);
    });

    it('tells everything that is wrong with a patch, and changes nothing', async () => {
      const { patch, mesh } = await start(platform);
      const { status, json } = await patch('/mesh/config', { cache: { ttlMs: 'soon' }, cach: {} });
      expect([status, json.code]).toEqual([400, 'MESH_CONFIG_INVALID']);
      expect(json.details.problems.map(({ path }: { path: string }) => path).sort()).toEqual(['cach', 'cache.ttlMs']);
      expect(mesh.config.generation).toBe(1);
      expect((await patch('/mesh/config', [1])).status).toBe(400);
    });
  });

  it('changes the log level for a while, and takes it back', async () => {
    const { post, get } = await start(platform);
    const louder = await post('/mesh/log-level', { level: 'fatal', ttlMs: 60_000 });
    expect(louder.json).toEqual({ level: 'fatal', configured: 'silent', until: expect.any(Number) });
    expect((await post('/mesh/log-level', { level: null })).json).toEqual({ level: 'silent', configured: 'silent' });
    expect((await get('/mesh/log-level')).json.level).toBe('silent');
  });

  it('takes the instance out of rotation and back', async () => {
    const { post, url } = await start(platform);
    expect((await post('/mesh/drain', { reason: 'canary looks bad' })).json.ready).toBe(false);
    expect((await fetch(`${url}/health/ready`)).status).toBe(503);
    expect((await fetch(`${url}/health/live`)).status).toBe(200);
    expect((await post('/mesh/undrain')).json.ready).toBe(true);
    expect((await fetch(`${url}/health/ready`)).status).toBe(200);
  });

  it('keeps apart what the operator and what the application says about its readiness', async () => {
    const { post, mesh } = await start(platform);
    await post('/mesh/drain', { reason: 'canary looks bad' });
    mesh.health.setReady();
    expect(mesh.health.snapshot('ready')).toMatchObject({
      status: 'down',
      entries: { 'ops:drain': { reason: 'canary looks bad' } },
    });
    mesh.health.setUnready('warming up');
    expect((await post('/mesh/undrain')).json.ready).toBe(false);
    mesh.health.setReady();
    expect(mesh.health.snapshot('ready').status).toBe('up');
  });

  it('shows the latest events, newer ones on request', async () => {
    const { post, get } = await start(platform);
    const { lastId } = (await get('/mesh/events')).json;
    await post('/mesh/breakers/payments.charge', { action: 'isolate', reason: 'test' });
    const { events } = (await get(`/mesh/events?after=${lastId}`)).json;
    expect(events.map(({ name }: { name: string }) => name)).toEqual(['breaker.transition', 'ops.write']);
    expect((await get('/mesh/events?name=ops.write')).json.events).toHaveLength(1);
  });

  it('streams events until the shutdown begins, and does not hold it up', async () => {
    const { app, url, post } = await start(platform);
    const response = await fetch(`${url}/mesh/stream`, { headers: { authorization: `Bearer ${READ}` } });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    await post('/mesh/breakers/payments.charge', { action: 'isolate', reason: 'test' });
    const text = response.text();
    await app.close();
    running = undefined;
    expect(await text).toMatch(/^retry: 1000\n\nid: \d+\nevent: breaker.transition\ndata: \{.*"to":"isolated"/);
    expect(await text).toContain('event: lifecycle.phase');
  });

  describe('access', () => {
    const read = { authorization: `Bearer ${READ}` };
    const none = { authorization: '' };

    it('needs a token as soon as there is one', async () => {
      const { get } = await start(platform);
      expect((await get('/mesh', read)).status).toBe(200);
      const refused = await get('/mesh/no-such-endpoint', none);
      expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="mesh"']);
      expect(refused.json.message).toMatch(/"Authorization", .* "Bearer"/);
      expect((await get('/mesh', { authorization: `Bearer ${READ}x` })).status).toBe(401);
      expect((await get('/mesh', { authorization: `Basic ${READ}` })).status).toBe(401);
    });

    it('lets only the write token change, with the header', async () => {
      const { post, writes } = await start(platform);
      expect((await post('/mesh/drain', {}, read)).status).toBe(403);
      expect((await post('/mesh/drain', {}, none)).status).toBe(401);
      expect((await post('/mesh/drain', {}, { 'x-mesh-ops': '' })).status).toBe(403);
      expect(writes).toEqual([]);
    });

    it('listens for a while to nobody from where ten wrong tokens came', async () => {
      const { get } = await start(platform);
      for (let i = 0; i < 10; i++)
        expect((await get('/mesh', { authorization: `Bearer guess-${i}` })).status).toBe(401);
      const { status, headers, json } = await get('/mesh', read);
      expect([status, json.code]).toEqual([429, 'MESH_OPS_LOCKED_OUT']);
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    });

    it('takes a token that was changed while it runs', async () => {
      const { get, patch } = await start(platform);
      await patch('/mesh/config?healthWindowMs=0', { ops: { tokens: { read: 'another-read-token' } } });
      expect((await get('/mesh', read)).status).toBe(401);
      expect((await get('/mesh', { authorization: 'Bearer another-read-token' })).status).toBe(200);
    });

    it('without tokens lets this machine read, and nobody change', async () => {
      const { get, post } = await start(platform, { ops: {} });
      expect((await get('/mesh', none)).status).toBe(200);
      expect((await post('/mesh/drain', {}, none)).status).toBe(403);
      expect((await get('/mesh', { ...none, 'x-forwarded-for': '10.0.0.1' })).status).toBe(403);
    });

    it('leaves it to the guard of the application, if it has one', async () => {
      const opsGuard = (request: { headers: object }, scope: string) =>
        'x-staff' in request.headers ? `bob, ${scope}` : false;
      const { get, post, writes } = await start(platform, {}, { opsGuard });
      expect((await get('/mesh')).status).toBe(403);
      expect((await get('/mesh', { 'x-staff': '1' })).status).toBe(200);
      expect((await post('/mesh/undrain', {}, { 'x-staff': '1' })).status).toBe(200);
      expect(writes).toMatchObject([{ who: 'bob, write (alice)' }]);
    });

    it('is off in production unless somebody says otherwise', async () => {
      const { NODE_ENV } = process.env;
      process.env['NODE_ENV'] = 'production';
      try {
        const { get, app } = await start(platform);
        expect((await get('/mesh')).json?.code).toBeUndefined();
        expect((await get('/mesh')).status).toBe(404);
        await app.close();
        const { get: again } = await start(platform, { ops: { enabled: true, tokens: { read: READ, write: WRITE } } });
        expect((await again('/mesh')).status).toBe(200);
      } finally {
        process.env['NODE_ENV'] = NODE_ENV;
      }
    });

    it('moves to another path', async () => {
      const { get } = await start(platform, { ops: { path: '/internal/ops', tokens: { write: WRITE } } });
      expect((await get('/internal/ops/components')).status).toBe(200);
      expect((await get('/mesh')).status).toBe(404);
    });
  });

  it('never shows a secret', async () => {
    const { app, get, post, mesh, patch, url } = await start(platform);
    const streamed = await fetch(`${url}/mesh/stream`, { headers: { authorization: `Bearer ${READ}` } });
    mesh.events.emit('policy.predicate-failed', {
      policy: 'payments.charge',
      predicate: 'retryIf',
      error: new Error(`connect redis://user:${SECRET}@cache:6379 failed`),
    });
    mesh.events.emit('call.fallback', { policy: 'p', error: { headers: { authorization: SECRET }, password: SECRET } });
    await post('/mesh/breakers/payments.charge', { action: 'isolate', reason: `see https://bob:${SECRET}@wiki/x` });
    await patch('/mesh/config', { ops: { tokens: { write: `${SECRET}-short`, read: 7 } } });
    await post('/mesh/log-level', `{"level":"${SECRET}`);
    const paths = ['', '/components', '/health', '/breakers', '/config', '/config/history', '/log-level', '/events'];
    const texts = await Promise.all(paths.map(async (path) => (await get(`/mesh${path}`)).text));
    const explained = await get('/mesh/config/explain?path=ops.tokens.write');
    expect(explained.json.value).toBe('***');
    const stream = streamed.text();
    await app.close();
    running = undefined;
    expect(await stream).toContain('event: policy.predicate-failed');
    expect([...texts, explained.text, await stream].join('\n')).not.toContain('planted');
  });
});
