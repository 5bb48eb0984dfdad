/** Where a value stands in the configuration: keys, and indexes of lists. */
export type ConfigPath = readonly (string | number)[];

const BARE = /^[^.[\]"'\s]+$/;
const SEGMENT = /\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\['([^']*)'\]|\.([^.[\]"'\s]+)/y;

/** `policies["payments.charge"].timeoutMs`: names that hold a dot, a bracket, a quote or a space are quoted. */
export function formatPath(path: ConfigPath): string {
  const text = path
    .map((segment) => {
      if (typeof segment === 'number') return `[${segment}]`;
      return BARE.test(segment) ? `.${segment}` : `[${JSON.stringify(segment)}]`;
    })
    .join('');
  return text.startsWith('.') ? text.slice(1) : text;
}

/** The opposite of {@link formatPath}; `undefined` when the text is not a path. */
export function parsePath(text: string): ConfigPath | undefined {
  const path: (string | number)[] = [];
  const segment = new RegExp(SEGMENT);
  for (const dotted = text.startsWith('[') ? text : `.${text}`; segment.lastIndex < dotted.length;) {
    const match = segment.exec(dotted);
    if (!match) return undefined;
    const [, index, quoted, single, bare] = match;
    if (index !== undefined) path.push(Number(index));
    else if (quoted !== undefined) path.push(JSON.parse(`"${quoted}"`) as string);
    else path.push((single ?? bare)!);
  }
  return path;
}

/** Whether `path` is `prefix` or lies below it. */
export function isWithin(path: ConfigPath, prefix: ConfigPath): boolean {
  return prefix.length <= path.length && prefix.every((segment, i) => String(segment) === String(path[i]));
}
