import type { INestApplicationContext } from '@nestjs/common';
import { Clock } from '../core/clock.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import { MeshEvents } from '../core/mesh.events.js';
import { messageOf } from '../core/message-of.js';
import { MeshLifecycle } from './mesh-lifecycle.js';
import { SystemProcess } from './process.port.js';
import { SignalShutdown, type SignalShutdownOptions } from './signal-shutdown.js';

/**
 * Gives the application's shutdown to the mesh: SIGTERM and SIGINT drain, stop everything in order and end the process
 * within the budget. For HTTP, hybrid and microservice applications and for standalone contexts; call it once, right
 * after `NestFactory.create…`, and leave Nest's `enableShutdownHooks` out. A module can't do this, it never sees the app.
 * @throws {MeshConfigError} when the application has no MeshModule.
 */
export function enableMeshShutdown<T extends INestApplicationContext>(app: T, options: SignalShutdownOptions = {}): T {
  const lifecycle = find(app, MeshLifecycle);
  // Nest's type hides the parameter that carries the signal to the hooks.
  const { close } = app as { close(signal: string): Promise<void> };
  lifecycle.attach({ close: (reason) => close.call(app, reason) });
  const process = new SystemProcess();
  new SignalShutdown({ lifecycle, clock: find(app, Clock), events: find(app, MeshEvents), process }, options).listen();
  return app;
}

function find<T>(app: INestApplicationContext, token: abstract new (...args: never[]) => T): T {
  try {
    return app.get<T>(token, { strict: false });
  } catch (cause) {
    throw new MeshConfigError(
      'enableMeshShutdown(app) needs an application with MeshModule: import MeshModule.forRoot() in the root module.',
      { cause: messageOf(cause) },
    );
  }
}
