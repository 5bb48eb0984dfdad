/** The candidate that a person most likely meant by `word`, or `undefined` when none is close. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  // Of a long name, more than a few wrong letters make another name.
  const limit = Math.min(5, Math.max(1, Math.floor(word.length / 3)));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= bestDistance) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/**
 * Edits that lead from `a` to `b`, two swapped neighbours counting as one.
 * @see https://en.wikipedia.org/wiki/Damerau%E2%80%93Levenshtein_distance (optimal string alignment)
 */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? beforePrevious[j - 2]! + 1 : Infinity;
      row.push(Math.min(substituted, previous[j]! + 1, row[j - 1]! + 1, swapped));
    }
    [beforePrevious, previous] = [previous, row];
  }
  return previous[b.length]!;
}
