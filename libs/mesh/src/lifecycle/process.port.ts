import { writeSync } from 'node:fs';

/** What the shutdown needs of the process. Only {@link SystemProcess} touches the real one. */
export interface ProcessPort {
  on(signal: NodeJS.Signals, listener: () => void): void;
  off(signal: NodeJS.Signals, listener: () => void): void;
  /** Ends the process as the signal would have without a listener: exit code 128 + its number. */
  raise(signal: NodeJS.Signals): void;
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
    process.on(signal, listener);
  }

  off(signal: NodeJS.Signals, listener: () => void): void {
    process.off(signal, listener);
  }

  raise(signal: NodeJS.Signals): void {
    process.kill(process.pid, signal);
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
