const SAFE = /^[\x21-\x24\x26-\x29\x2b-\x3d\x3f-\x7e]+$/;
// Percent signs too, so that no two names become one subject.
const UNSAFE = /[^\x21-\x24\x26-\x29\x2b-\x3d\x3f-\x7e]/gu;
const EMPTY_TOKEN = /^\.|\.\.|\.$/;

/** The subjects of one prefix. Dots stay, so that permissions can be given by wildcard. */
export class Subjects {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  request(pattern: string): string {
    return `${this.#prefix}.request.${token(pattern)}`;
  }

  event(topic: string): string {
    return `${this.#prefix}.event.${token(topic)}`;
  }

  dead(topic: string): string {
    return `${this.#prefix}.dead.${token(topic)}`;
  }

  /** The stream that stores what `subject` carries: one each, so that none has to be changed for another. */
  stream(subject: string): string {
    return safeName(subject);
  }

  /** A queue group or a durable consumer. */
  consumer(group: string): string {
    return safeName(group);
  }
}

/** What a subject may hold: visible ASCII without wildcards and empty tokens. Everything else is percent-encoded. */
export function token(name: string): string {
  if (SAFE.test(name) && !EMPTY_TOKEN.test(name)) return name;
  const encoded = name.replace(UNSAFE, (char) =>
    [...Buffer.from(char)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
  return EMPTY_TOKEN.test(encoded) ? encoded.replaceAll('.', '%2E') : encoded;
}

/** Names of streams and consumers are file names on the server: letters, digits, dash; `_` and two hex digits for the rest. */
function safeName(name: string): string {
  return [...Buffer.from(name)]
    .map((byte) => {
      const char = String.fromCharCode(byte);
      if (/[A-Za-z0-9-]/.test(char)) return char;
      return char === '.' ? '_' : `_${byte.toString(16).padStart(2, '0')}`;
    })
    .join('');
}
