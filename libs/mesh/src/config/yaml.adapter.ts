import { MeshConfigError } from '../core/mesh.errors.js';

export interface YamlParser {
  parse(text: string): unknown;
}

/** The optional peer `yaml`, loaded when a file ends in .yaml or .yml. */
export async function importYaml(
  load: (name: string) => Promise<unknown> = (name) => import(name),
): Promise<YamlParser> {
  try {
    return (await load('yaml')) as YamlParser;
  } catch (error) {
    throw new MeshConfigError(
      'MESH_CONFIG_FILE names a YAML file, which needs the package "yaml": run `npm install yaml`, or write the file as JSON.',
      { cause: String(error) },
    );
  }
}
