import { Test } from '@nestjs/testing';
import { HealthCheckService, HealthIndicatorService } from '@nestjs/terminus';
import { describe, expect, it, vi } from 'vitest';
import type { HealthEntries, HealthSnapshot } from './health-group.js';
import { HealthFormatter } from './health.formatter.js';
import { fromTerminus, terminusFormatterProvider, terminusModule } from './terminus.adapter.js';

async function testModule() {
  return Test.createTestingModule({ imports: [terminusModule()], providers: [terminusFormatterProvider] }).compile();
}

const ENTRIES: HealthEntries = {
  db: { status: 'up' },
  pay: { status: 'degraded', reason: 'open' },
  mail: { status: 'down', reason: 'gone' },
};

function snapshot(status: HealthSnapshot['status'], names: readonly string[], draining = false): HealthSnapshot {
  const entries = Object.fromEntries(names.map((name) => [name, ENTRIES[name]!]));
  return { group: 'ready', status, draining, entries };
}

describe('TerminusFormatter', () => {
  it('writes what Terminus writes', async () => {
    const formatter = (await testModule()).get(HealthFormatter);
    expect(await formatter.format(snapshot('up', ['db']))).toEqual({
      status: 'ok',
      info: { db: { status: 'up' } },
      error: {},
      details: { db: { status: 'up' } },
    });
    expect(await formatter.format(snapshot('degraded', ['db', 'pay']))).toMatchObject({
      status: 'degraded',
      info: { db: { status: 'up' }, pay: { status: 'degraded', reason: 'open' } },
    });
    expect(await formatter.format(snapshot('down', ['db', 'pay', 'mail']))).toMatchObject({
      status: 'error',
      error: { mail: { status: 'down', reason: 'gone' } },
      details: ENTRIES,
    });
  });

  it('says shutting_down from the first moment, for readiness only, whatever Terminus knows', async () => {
    const module = await testModule();
    const formatter = module.get(HealthFormatter);
    expect((await formatter.format(snapshot('down', ['mail'], true))).status).toBe('shutting_down');
    await module.init();
    await module.close();
    expect(await formatter.format(snapshot('up', ['db']))).toMatchObject({
      status: 'ok',
      details: { db: { status: 'up' } },
    });
  });
});

describe('terminusModule', () => {
  it('writes no line for a probe that fails', async () => {
    const service = (await testModule()).get(HealthCheckService);
    const lines = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockReturnValue(true));
    try {
      await expect(service.check([() => snapshot('down', ['mail']).entries])).rejects.toThrow();
      expect(lines.flatMap(({ mock }) => mock.calls)).toEqual([]);
    } finally {
      for (const spy of lines) spy.mockRestore();
    }
  });
});

describe('fromTerminus', () => {
  const check = (indicator: Parameters<typeof fromTerminus>[1]) =>
    Promise.resolve(fromTerminus('db', indicator).check!({ signal: new AbortController().signal }));

  it('takes over status, message and details of an indicator', async () => {
    const indicators = new HealthIndicatorService();
    expect(await check(() => indicators.check('db').up({ pool: 3 }))).toEqual({ status: 'up', details: { pool: 3 } });
    expect(await check(() => indicators.check('db').degraded('slow'))).toEqual({ status: 'degraded', reason: 'slow' });
    expect(
      await check(async () =>
        indicators.check('db').attempt(() => {
          throw new Error('gone');
        }),
      ),
    ).toMatchObject({ status: 'down', reason: 'gone' });
  });

  it('is as well as the worst of several entries', async () => {
    const result = { a: { status: 'up' }, b: { status: 'down', message: 'gone' }, c: { status: 'degraded' } };
    expect(await check(() => result)).toEqual({ status: 'down', reason: 'gone', details: result });
  });

  it('reads the causes of an indicator that throws them', async () => {
    const error = Object.assign(new Error('failed'), { causes: { db: { status: 'down', message: 'gone' } } });
    expect(await check(() => Promise.reject(error))).toEqual({ status: 'down', reason: 'gone' });
  });

  it.each([
    ['no entry', {}],
    ['nothing', undefined],
    ['a status that Terminus would drop', { db: { status: 'unhealthy' } }],
  ])('fails for %s', async (_what, result) => {
    await expect(check(() => result as never)).rejects.toThrow(TypeError);
  });

  it('works inside a check of the user, which answers as Terminus does', async () => {
    const service = (await testModule()).get(HealthCheckService);
    await expect(service.check([() => snapshot('down', ['mail']).entries])).rejects.toMatchObject({ status: 503 });
  });
});
