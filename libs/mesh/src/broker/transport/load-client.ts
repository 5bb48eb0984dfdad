import { MeshConfigError } from '../../core/mesh.errors.js';

/**
 * The package that talks to a server, which is there only if the application has installed it.
 * @throws {MeshConfigError} that says how, when it has not.
 */
export async function loadClient<T>(load: () => Promise<T>, needs: string, install: string): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw new MeshConfigError(`${needs}: npm i ${install} (${(error as Error).message})`);
  }
}
