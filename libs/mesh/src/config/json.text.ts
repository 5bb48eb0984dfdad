/** What a text that should be JSON holds, or in words where it stops being JSON. */
export type JsonReading = { readonly value: unknown } | { readonly broken: string };

/** Reads JSON. The parser's own message is not passed on: it quotes the text, which may hold a secret. */
export function readJson(text: string): JsonReading {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    const at = positionOf(error) ?? (stopsAtToken(error) ? firstBadToken(text) : text.length);
    const before = text.slice(0, at).split('\n');
    const place = `line ${before.length} column ${before.at(-1)!.length + 1}`;
    return { broken: at >= text.trimEnd().length ? `ends too early, at ${place}` : `is not at ${place}` };
  }
}

function positionOf(error: unknown): number | undefined {
  const position = /at position (\d+)/.exec(String(error))?.[1];
  return position === undefined ? undefined : Number(position);
}

/** The parser says where it stopped, except when it names the character that it did not expect. */
function stopsAtToken(error: unknown): boolean {
  return /is not valid JSON/.test(String(error));
}

/** Each beginning of the text that reaches the bad character fails by it, and no shorter one does. */
function firstBadToken(text: string): number {
  let good = 0;
  let bad = text.length;
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2);
    if (failsByToken(text.slice(0, middle))) bad = middle;
    else good = middle;
  }
  return good;
}

function failsByToken(text: string): boolean {
  try {
    JSON.parse(text);
    return false;
  } catch (error) {
    return positionOf(error) === undefined && stopsAtToken(error);
  }
}
