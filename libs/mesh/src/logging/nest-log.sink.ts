import { Logger } from '@nestjs/common';
import type { CallContexts } from '../core/call-context.js';
import type { ServiceInfo } from '../core/service-info.js';
import { callLogFields } from './call-log-fields.js';
import { type LogFields, type LogLevel, LogSink } from './log-sink.js';
import { Redaction } from './redaction.js';

const METHODS = { debug: 'debug', info: 'log', warn: 'warn', error: 'error' } as const;

/** The mesh's lines through whatever logger the application gave to Nest. */
export class NestLogSink extends LogSink {
  readonly #service: ServiceInfo;
  readonly #contexts: CallContexts;
  readonly #redaction: Redaction;

  constructor(service: ServiceInfo, contexts: CallContexts, redaction = new Redaction()) {
    super();
    this.#service = service;
    this.#contexts = contexts;
    this.#redaction = redaction;
  }

  override write(level: LogLevel, fields: LogFields, message: string): void {
    const { name: service, instance } = this.#service;
    const line = { service, instance, ...callLogFields(this.#contexts), ...fields };
    Logger[METHODS[level]]({ ...this.#redaction.fields(line), msg: this.#redaction.text(message) }, 'Mesh');
  }

  /** The logger is the application's, and so is flushing it. */
  override async flush(): Promise<void> {}
}
