import type { Environment } from './environment.source.js';

/**
 * What the configuration of an application is read from, beside its file. Override this provider to change what the
 * application says before anybody sees it: the test kit takes the servers out.
 */
export class ConfigInput {
  /** `MESH_` variables, `MESH_CONFIG_FILE` among them. */
  get environment(): Environment {
    return process.env;
  }

  /** What stands for the options that `forRoot` got or its factory returned; not validated yet. */
  options(given: unknown): unknown {
    return given;
  }
}
