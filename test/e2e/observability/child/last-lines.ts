import 'reflect-metadata';
import { CallContexts, ServiceInfo, SystemClock } from 'nestjs-mesh';
import { fixedOptions } from '../../../../libs/mesh/src/core/live-options.js';
import { loggingSchema } from '../../../../libs/mesh/src/logging/logging.options.js';
import { PinoLog } from '../../../../libs/mesh/src/logging/pino.adapter.js';

// Writes more than a pipe holds and is killed at once: only what has really left the process is read.
const log = new PinoLog({
  options: fixedOptions(loggingSchema.parse({})),
  service: new ServiceInfo('child', '1'),
  contexts: new CallContexts(),
  clock: new SystemClock(),
});
for (let i = 0; i < 2_000; i++) log.write('info', { i, padding: 'x'.repeat(200) }, 'line');
if (process.argv[2] === 'flush') await log.flush(Number(process.argv[3]));
process.kill(process.pid, 'SIGKILL');
