const VIEWS = {
  Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array,
  BigInt64Array, BigUint64Array, DataView,
}; // prettier-ignore

/** Makes the arguments of a key again. That this is possible proves that no two argument lists have one key. */
export function readKey(key: string): unknown[] {
  const reader = new KeyReader(key);
  const length = Number(reader.until(':'));
  const args = reader.many(length);
  if (!reader.atEnd) throw new Error(`more than ${length} arguments in ${key}`);
  return args;
}

class KeyReader {
  #at = 0;

  constructor(private readonly key: string) {}

  get atEnd(): boolean {
    return this.#at === this.key.length;
  }

  until(end: string): string {
    const at = this.key.indexOf(end, this.#at);
    if (at < 0) throw new Error(`no ${end} after ${this.#at} in ${this.key}`);
    const text = this.key.slice(this.#at, at);
    this.#at = at + 1;
    return text;
  }

  many(length: number): unknown[] {
    return Array.from({ length }, () => this.value());
  }

  value(): unknown {
    const type = this.key[this.#at++];
    switch (type) {
      case 'u':
        return undefined;
      case 'n':
        return null;
      case 't':
      case 'f':
        return type === 't';
      case 'd':
        return Number(this.until(';'));
      case 'i':
        return BigInt(this.until(';'));
      case 's':
        return this.#text(Number(this.until(':')));
      case 'D':
        return new Date(Number(this.until(';')));
      case 'U':
        return new URL(this.value() as string);
      case '[':
        return this.#array(Number(this.until(':')));
      case '{':
        return this.#properties({});
      case 'N':
        this.#at++;
        return this.#properties(Object.create(null) as object);
      case 'M':
        return new Map(Array.from({ length: Number(this.until(':')) }, () => [this.value(), this.value()] as const));
      case 'S':
        return new Set(this.many(Number(this.until(':'))));
      case 'B':
        return bytes(this.until(':'), this.until(';'));
      default:
        throw new Error(`"${type}" before ${this.#at} in ${this.key}`);
    }
  }

  #text(length: number): string {
    this.#at += length;
    return this.key.slice(this.#at - length, this.#at);
  }

  #array(length: number): unknown[] {
    const array: unknown[] = Array(length);
    for (let i = 0; i < length; i++)
      if (this.key[this.#at] === 'h') this.#at++;
      else array[i] = this.value();
    return array;
  }

  #properties(object: object): object {
    while (this.key[this.#at] !== '}') {
      const name = this.value() as string;
      Object.defineProperty(object, name, {
        value: this.value(),
        enumerable: true,
        writable: true,
        configurable: true,
      });
    }
    this.#at++;
    return object;
  }
}

function bytes(type: string, text: string): unknown {
  const { buffer } = new Uint8Array(Buffer.from(text, 'base64'));
  if (type === 'ArrayBuffer') return buffer;
  if (type === 'Buffer') return Buffer.from(buffer);
  const View = VIEWS[type as keyof typeof VIEWS] as new (buffer: ArrayBuffer) => ArrayBufferView;
  return new View(buffer);
}
