// Runs after the compiler: what a configuration file may hold, for editors, as `nestjs-mesh/schema.json`.
import { writeFileSync } from 'node:fs';
import { configJsonSchema } from '../dist/config/config.json-schema.js';
import { meshSchema } from '../dist/mesh.options.js';

const schema = { title: 'nestjs-mesh configuration', ...configJsonSchema(meshSchema) };
writeFileSync(new URL('../dist/schema.json', import.meta.url), `${JSON.stringify(schema, undefined, 2)}\n`);
