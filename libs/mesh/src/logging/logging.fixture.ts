import { type LogFields, type LogLevel, LogSink } from './log-sink.js';

/** Keeps the lines of a test. */
export class MemorySink extends LogSink {
  readonly lines: { level: LogLevel; message: string; fields: LogFields }[] = [];

  override write(level: LogLevel, fields: LogFields, message: string): void {
    this.lines.push({ level, fields, message });
  }

  override async flush(): Promise<void> {}
}

/** nestjs-pino's root is the process's and outlives the applications that these tests start. */
export async function resetProcessRoot(): Promise<void> {
  const path = new URL('./rootLogger.js', import.meta.resolve('nestjs-pino')).href;
  const module = (await import(/* @vite-ignore */ path)) as { resetRootLogger(): void };
  module.resetRootLogger();
}
