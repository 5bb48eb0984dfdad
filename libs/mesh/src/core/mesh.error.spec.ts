import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { InvalidConfigError } from '../config/config.errors.js';
import { MeshError } from './mesh.error.js';

class SoldOutError extends MeshError {}

const soldOut = new SoldOutError('Nothing is left.', {
  code: 'SHOP_SOLD_OUT',
  details: { sku: 'a-1' },
  cause: new Error('stock is 0'),
});

const times = (text: string, part: string): number => text.split(part).length - 1;

describe('an error of the mesh, printed', () => {
  it('shows name, message, code, details and cause, each once', () => {
    const printed = inspect(soldOut);
    expect(printed).toMatch(/^SoldOutError: Nothing is left\.\n {4}at /);
    for (const part of ['Nothing is left.', 'SHOP_SOLD_OUT', 'a-1', 'stock is 0']) expect(times(printed, part)).toBe(1);
    expect(printed).not.toMatch(/response|undefined/);
  });

  it('is indented where it is part of something', () => {
    expect(inspect({ soldOut })).toMatch(/^ {4}code: 'SHOP_SOLD_OUT'/m);
  });

  it('names the problems of a configuration once, also where Node prints it at the end of the process', () => {
    const error = new InvalidConfigError([{ path: 'cache.ttlMs', rule: 'must be at least 1' }]);
    for (const customInspect of [true, false]) expect(times(inspect(error, { customInspect }), 'cache.ttlMs')).toBe(1);
    expect(error.problems).toEqual([{ path: 'cache.ttlMs', rule: 'must be at least 1' }]);
    expect(error.getResponse()).toMatchObject({ details: { problems: error.problems } });
  });
});
