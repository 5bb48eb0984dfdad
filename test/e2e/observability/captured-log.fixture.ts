import type { TestingModuleBuilder } from '@nestjs/testing';
import { CallContexts, Clock, ServiceInfo } from 'nestjs-mesh';
import { fixedOptions } from '../../../libs/mesh/src/core/live-options.js';
import { loggingSchema } from '../../../libs/mesh/src/logging/logging.options.js';
import { PinoLog } from '../../../libs/mesh/src/logging/pino.adapter.js';

/** Lets the application write its lines into `lines` instead of to standard output. */
export function captureLog(builder: TestingModuleBuilder, lines: string[]): TestingModuleBuilder {
  return builder.overrideProvider(PinoLog).useFactory({
    inject: [ServiceInfo, CallContexts, Clock],
    factory: (service: ServiceInfo, contexts: CallContexts, clock: Clock) =>
      new PinoLog({
        options: fixedOptions(loggingSchema.parse({})),
        service,
        contexts,
        clock,
        destination: { write: (line: string) => lines.push(line) },
      }),
  });
}
