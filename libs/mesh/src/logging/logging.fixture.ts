import { type LogFields, type LogLevel, LogSink } from './log-sink.js';

/** Keeps the lines of a test. */
export class MemorySink extends LogSink {
  readonly lines: { level: LogLevel; message: string; fields: LogFields }[] = [];

  override write(level: LogLevel, fields: LogFields, message: string): void {
    this.lines.push({ level, fields, message });
  }

  override async flush(): Promise<void> {}
}
