import { execFileSync } from 'node:child_process';

const missing = ['nats-server', 'redis-server'].filter((program) => !isInstalled(program));

/** Whether tests of the fleet can run. In CI they must: without its servers they fail instead of being skipped. */
export const canRun = process.env['CI'] === 'true' || missing.length === 0;

/** For the name of a skipped suite. */
export const whyNot = canRun ? '' : ` (skipped: ${missing.join(' and ')} not installed)`;

function isInstalled(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
