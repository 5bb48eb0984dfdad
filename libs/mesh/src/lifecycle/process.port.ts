import { writeSync } from 'node:fs';
import { constants } from 'node:os';

const OURS = Symbol.for('nestjs-mesh.signal-listener');

/** What the shutdown needs of the process. Only {@link SystemProcess} touches the real one. */
export interface ProcessPort {
  on(signal: NodeJS.Signals, listener: () => void): void;
  off(signal: NodeJS.Signals, listener: () => void): void;
  /** Ends the process after a clean shutdown: as the signal would have without a listener, or with exit code 0. */
  finish(signal: NodeJS.Signals, exitAs: 'signal' | 'zero'): void;
  /** Calls back when nothing is left that would keep the process up. Returns the function that stops listening. */
  onIdle(listener: () => void): () => void;
  /** Gives the process, which ends by itself, an exit code, unless somebody else has. */
  endWith(code: number): void;
  /** Ends the process now, whatever still runs. */
  exit(code: number): void;
  /** Writes a line to stderr before it returns, so that it survives an exit right after. */
  complain(line: string): void;
}

/**
 * The process itself, and the library's only `process.exit`: the last resort, when a signal says "now" for the third
 * time or the shutdown is past its budget.
 */
export class SystemProcess implements ProcessPort {
  on(signal: NodeJS.Signals, listener: () => void): void {
    process.on(signal, Object.assign(listener, { [OURS]: true }));
  }

  off(signal: NodeJS.Signals, listener: () => void): void {
    process.off(signal, listener);
  }

  finish(signal: NodeJS.Signals, exitAs: 'signal' | 'zero'): void {
    const others = process.listeners(signal);
    // Another application in this process still shuts down, and ends it when it is done.
    if (others.some((listener) => OURS in listener)) return;
    if (exitAs === 'zero') process.exit(0);
    const code = 128 + constants.signals[signal];
    // A listener of somebody else would keep the signal from ending the process.
    if (others.length > 0) process.exit(code);
    // A signal skips this event, on which pino's worker threads write what they still have.
    process.emit('exit', code);
    process.kill(process.pid, signal);
  }

  onIdle(listener: () => void): () => void {
    process.on('beforeExit', listener);
    return () => void process.off('beforeExit', listener);
  }

  endWith(code: number): void {
    process.exitCode ??= code;
  }

  exit(code: number): void {
    process.exit(code);
  }

  complain(line: string): void {
    try {
      writeSync(process.stderr.fd, `${line}\n`);
    } catch {
      // The other end of stderr is gone or full: there is nobody left to tell, and the exit must not fail over it.
    }
  }
}

/** Whether this process runs in a Kubernetes pod: every pod gets this variable, whatever its spec says. */
export function runsInKubernetes(environment: Readonly<Record<string, string | undefined>> = process.env): boolean {
  return environment['KUBERNETES_SERVICE_HOST'] !== undefined;
}

export function terminationListeners(): number {
  return process.listenerCount('SIGTERM');
}
