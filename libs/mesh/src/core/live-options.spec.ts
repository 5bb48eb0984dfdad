import { describe, expect, it } from 'vitest';
import { changeTogether, selectOptions, SettableOptions } from './live-options.js';

describe('SettableOptions', () => {
  it('tells its listeners the new and the old value, in the order in which they came', () => {
    const options = new SettableOptions(1);
    const heard: string[] = [];
    options.onChange((next, previous) => void heard.push(`a ${previous} -> ${next}`));
    options.onChange((next, previous) => void heard.push(`b ${previous} -> ${next}`));
    options.set(2);
    expect([heard, options.current]).toEqual([['a 1 -> 2', 'b 1 -> 2'], 2]);
  });

  it('tells nobody of a value that is the same', () => {
    const options = new SettableOptions(1);
    options.onChange(() => expect.unreachable());
    options.set(1);
  });

  it('stops telling a listener, and only that one', () => {
    const options = new SettableOptions(1);
    const heard: number[] = [];
    const listener = (next: number) => void heard.push(next);
    const stop = options.onChange(listener);
    options.onChange(listener);
    stop();
    stop();
    options.set(2);
    expect(heard).toEqual([2]);
  });

  it('does not tell a change to a listener that came during it', () => {
    const options = new SettableOptions(1);
    options.onChange(() => void options.onChange(() => expect.unreachable()));
    options.set(2);
  });
});

describe('changeTogether', () => {
  it('lets a listener see all values new', () => {
    const [a, b] = [new SettableOptions(1), new SettableOptions(1)];
    let seen: unknown;
    a.onChange(() => (seen = [a.current, b.current]));
    changeTogether([a.change(2), b.change(2)]);
    expect(seen).toEqual([2, 2]);
  });

  it('puts all values back and tells so in reverse order when a listener throws', () => {
    const [a, b] = [new SettableOptions(1), new SettableOptions(1)];
    const heard: string[] = [];
    const hear = (name: string) => (next: number) => void heard.push(`${name} ${next}`);
    a.onChange(hear('a'));
    b.onChange(hear('b'));
    b.onChange((next) => {
      if (next === 2) throw new Error('no');
    });
    b.onChange(hear('never told'));
    expect(() => changeTogether([a.change(2), b.change(2)])).toThrow('no');
    expect([a.current, b.current]).toEqual([1, 1]);
    expect(heard).toEqual(['a 2', 'b 2', 'b 1', 'a 1']);
  });

  it('reports the listeners that fail to go back as well', () => {
    const options = new SettableOptions(1);
    options.onChange(() => {
      throw new Error('always');
    });
    const failed = expect(() => options.set(2));
    failed.toThrow(AggregateError);
    expect(options.current).toBe(1);
  });
});

describe('selectOptions', () => {
  it('follows a part and tells only its changes', () => {
    const whole = new SettableOptions({ a: 1, b: 1 });
    const part = selectOptions(whole, ({ a }) => a);
    const heard: string[] = [];
    part.onChange((next, previous) => void heard.push(`${previous} -> ${next}`));
    whole.set({ a: 1, b: 2 });
    whole.set({ a: 2, b: 2 });
    expect([part.current, heard]).toEqual([2, ['1 -> 2']]);
  });
});
