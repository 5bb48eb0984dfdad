export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

/** Where the mesh's own lines go: its pino logger, or the logger that the host already has. */
export abstract class LogSink {
  abstract write(level: LogLevel, fields: LogFields, message: string): void;
  /** Resolves when everything written so far has left the process, or after `timeoutMs`. Never rejects. */
  abstract flush(timeoutMs: number): Promise<void>;
}
