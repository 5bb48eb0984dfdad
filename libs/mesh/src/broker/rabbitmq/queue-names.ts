import { createHash } from 'node:crypto';

/** Leaves room for what is added to a name; AMQP takes 255 bytes. */
const LONGEST = 200;
const DIGEST = 32;

/** The names of one prefix. Topics, patterns and groups are written as they are, so that operators recognise them. */
export class QueueNames {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** The exchange of all events. */
  get events(): string {
    return `${this.#prefix}.events`;
  }

  /** What a topic's messages are routed by. */
  key(topic: string): string {
    return short(topic);
  }

  request(pattern: string): string {
    return short(`${this.#prefix}.request.${pattern}`);
  }

  /** Shared by the members of a group while any is there. */
  plain(topic: string, group: string): string {
    return this.#ofGroup('plain', topic, group);
  }

  /** Kept for a group, whoever is there. */
  stored(topic: string, group: string): string {
    return this.#ofGroup('stored', topic, group);
  }

  retry(queue: string, upToMs: number): string {
    return `${queue}.retry.${upToMs}`;
  }

  dead(topic: string): string {
    return short(`${this.#prefix}.dead.${topic}`);
  }

  #ofGroup(kind: string, topic: string, group: string): string {
    return short(`${this.#prefix}.${kind}.${escaped(topic)}|${escaped(group)}`);
  }
}

/** So that topic `a|b` of group `c` is not topic `a` of group `b|c`. */
function escaped(part: string): string {
  return part.replaceAll('%', '%25').replaceAll('|', '%7C');
}

/** A name that is too long ends in a digest of all of it. */
function short(name: string): string {
  const bytes = Buffer.from(name);
  if (bytes.length <= LONGEST) return name;
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, DIGEST);
  const start = [...name].reduce(
    (kept, char) => (Buffer.byteLength(kept + char) > LONGEST - DIGEST - 1 ? kept : kept + char),
    '',
  );
  return `${start}#${digest}`;
}
