import { describe, expect, it } from 'vitest';
import { HistogramCell, HistogramPool } from './metric-cells.js';

describe('a pool of histograms', () => {
  const open = (series: number) => {
    const pool = new HistogramPool([1, 2], () => undefined);
    return Array.from({ length: series }, () => pool.open());
  };

  it('keeps the numbers of hundreds of series apart', () => {
    const cells = open(300);
    for (const [i, cell] of cells.entries()) for (let n = 0; n <= i; n++) cell.observe(i % 3);
    for (const [i, { counts, sum }] of cells.entries()) {
      const expected = [0, 0, 0];
      // 0 and 1 are in the first bucket, a value on its bound counts below it.
      expected[i % 3 === 2 ? 1 : 0] = i + 1;
      expect([counts, sum]).toEqual([expected, (i % 3) * (i + 1)]);
    }
  });

  it('counts what is above all bounds', () => {
    const [cell] = open(1);
    for (const value of [2, 2.1, Infinity]) cell!.observe(value);
    expect(cell!.counts).toEqual([0, 1, 2]);
  });

  it('counts beyond the 32 bits that it stores', () => {
    const full = 2 ** 32 - 1;
    const chunk = { counts: Uint32Array.of(0, 0, 0, full, full, 5), sums: new Float64Array(2), overruns: undefined };
    const cell = new HistogramCell(new HistogramPool([1, 2], () => undefined), chunk, 1);
    cell.observe(1);
    cell.observe(1);
    expect(cell.counts).toEqual([2 ** 32 + 1, full, 5]);
  });

  it('takes what it is told after its counts were read', () => {
    const [cell] = open(1);
    const { counts } = cell!;
    cell!.observe(0);
    expect([counts, cell!.counts]).toEqual([
      [0, 0, 0],
      [1, 0, 0],
    ]);
  });
});
