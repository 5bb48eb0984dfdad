import { Logger } from '@nestjs/common';
import type { HostLines } from './host-lines.js';
import { type LogFields, type LogLevel, LogSink } from './log-sink.js';

const METHODS = { debug: 'debug', info: 'log', warn: 'warn', error: 'error' } as const;

/** The mesh's lines through whatever logger the application gave to Nest. */
export class NestLogSink extends LogSink {
  readonly #lines: HostLines;

  constructor(lines: HostLines) {
    super();
    this.#lines = lines;
  }

  override write(level: LogLevel, fields: LogFields, message: string): void {
    Logger[METHODS[level]]({ ...this.#lines.fields(fields), msg: this.#lines.text(message) }, 'Mesh');
  }

  /** The logger is the application's, and so is flushing it. */
  override async flush(): Promise<void> {}
}
