import { describe, expect, it } from 'vitest';
import { readJson } from './json.text.js';

describe('readJson', () => {
  it('answers with the value', () => {
    expect(readJson(' {"a": [1]} ')).toEqual({ value: { a: [1] } });
  });

  it.each([
    ['{ "cache": hunter2 }', 'is not at line 1 column 12'],
    ['{\n  "a": 1,\n  "b": \'x\'\n}', 'is not at line 3 column 8'],
    ['// mine\n{}', 'is not at line 1 column 1'],
    ['{"a": [1,]}', 'is not at line 1 column 10'],
    ['{"a": 1,}', 'is not at line 1 column 9'],
    ['{"a": 0800}', 'is not at line 1 column 8'],
    ['{"a": 1}\n{"b": 2}', 'is not at line 2 column 1'],
    ['nats://a', 'is not at line 1 column 2'],
    ['undefined', 'is not at line 1 column 1'],
    ['', 'ends too early, at line 1 column 1'],
    ['{\n  "a": 1,\n', 'ends too early, at line 3 column 1'],
    ['{"a": "x', 'ends too early, at line 1 column 9'],
    ['{"a"', 'ends too early, at line 1 column 5'],
    ['{"a": tru', 'ends too early, at line 1 column 10'],
  ])('of %j it says "%s"', (text, broken) => {
    expect(readJson(text)).toEqual({ broken });
  });
});
