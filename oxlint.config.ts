import { defineConfig, type OxlintOverride } from 'oxlint';

/** Which rooms a room may import from. Rooms never import each other: what they share is a port in core. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  core: [],
  config: ['core'],
  lifecycle: ['core'],
  resilience: ['core', 'config'],
  cache: ['core', 'config'],
  broker: ['core', 'config'],
  health: ['core', 'config'],
  metrics: ['core', 'config'],
  logging: ['core', 'config'],
  ops: ['core', 'config'],
};

/** Third-party packages stay behind adapter files, so that none of their types leaks into ours. */
const adapterOnly = [
  'opossum',
  'keyv',
  'cache-manager',
  'prom-client',
  'pino',
  'pino-http',
  'nestjs-pino',
  '@nestjs/terminus',
  '@nestjs/cache-manager',
  '@willsoto/nestjs-prometheus',
  '@keyv/redis',
  '@opentelemetry/api',
  '@nats-io/transport-node',
  '@nats-io/jetstream',
  'rabbitmq-client',
  'yaml',
];

/** A transport's folder is its adapter: the client's types are all over it, and nowhere else. */
const transports: Readonly<Record<string, readonly string[]>> = {
  nats: ['@nats-io/transport-node', '@nats-io/jetstream'],
  rabbitmq: ['rabbitmq-client'],
};

function boundaries(room: string, packages: readonly string[]): NonNullable<OxlintOverride['rules']> {
  const strangers = Object.keys(rooms).filter((other) => other !== room && !rooms[room]!.includes(other));
  return {
    'no-restricted-imports': [
      'error',
      {
        paths: packages.map((name) => ({ name, message: `Only this room's *.adapter.ts may import ${name}.` })),
        patterns: [
          {
            group: [...strangers, 'testing'].map((other) => `**/${other}/**`),
            message: `The room "${room}" may import only from: ${[room, ...rooms[room]!].join(', ')}.`,
          },
          {
            group: ['**/index.js', '**/mesh.module.js', '**/service-mesh.js'],
            message: 'Import the file, not a barrel or the composition root.',
          },
          ...(room === 'core'
            ? [
                {
                  group: ['@nestjs/*', '!@nestjs/common', 'rxjs*', 'zod'],
                  message: 'core stands on node and @nestjs/common alone.',
                },
              ]
            : []),
        ],
      },
    ],
  };
}

/** The test kit is made of what every user has: the public API, and the ports of core that it exports. */
const testing: NonNullable<OxlintOverride['rules']> = {
  'no-restricted-imports': [
    'error',
    {
      paths: [...adapterOnly, 'vitest'].map((name) => ({ name, message: `The test kit may not import ${name}.` })),
      patterns: [
        {
          group: [...Object.keys(rooms).filter((room) => room !== 'core'), 'replaceable'].map(
            (room) => `**/${room}/**`,
          ),
          message: 'The test kit may import only from: testing, core, and the public index.js.',
        },
        { group: ['../mesh.*.js', '../../mesh.*.js', '**/service-mesh.js'], message: 'Import what index.js exports.' },
      ],
    },
  ],
};

export default defineConfig({
  plugins: ['typescript', 'import', 'unicorn', 'oxc'],
  categories: { correctness: 'error', suspicious: 'error' },
  rules: {
    'import/no-cycle': 'error',
    'import/no-default-export': 'error',
    'import/no-unassigned-import': 'off',
    'typescript/no-explicit-any': 'error',
    'typescript/no-non-null-assertion': 'off',
    'typescript/no-extraneous-class': 'off',
    // Its fix turns injected classes into type imports, which breaks Nest's injection.
    'typescript/consistent-type-imports': 'off',
    'unicorn/consistent-function-scoping': 'off',
    'unicorn/no-array-sort': 'off',
    // It does not see what a closure or a getter changes.
    'no-unmodified-loop-condition': 'off',
    'no-console': 'error',
    'max-params': ['error', { max: 5 }],
    'max-lines': ['error', { max: 500, skipComments: true, skipBlankLines: true }],
  },
  overrides: [
    ...Object.keys(rooms).flatMap((room) => [
      { files: [`libs/mesh/src/${room}/**`], rules: boundaries(room, adapterOnly) },
      { files: [`libs/mesh/src/${room}/**/*.adapter.ts`], rules: boundaries(room, []) },
    ]),
    ...Object.entries(transports).map(([folder, clients]) => ({
      files: [`libs/mesh/src/broker/${folder}/**`],
      rules: boundaries(
        'broker',
        adapterOnly.filter((name) => !clients.includes(name)),
      ),
    })),
    { files: ['libs/mesh/src/testing/**'], rules: testing },
    { files: ['libs/mesh/src/**/*.spec.ts'], rules: { 'no-restricted-imports': 'off' } },
    // Nest's factories take what they inject, one parameter each.
    { files: ['libs/mesh/src/mesh.*.ts'], rules: { 'max-params': 'off' } },
    { files: ['*.config.ts'], rules: { 'import/no-default-export': 'off' } },
    { files: ['test/**', 'apps/**'], rules: { 'no-console': 'off' } },
  ],
  ignorePatterns: ['dist', 'libs/mesh/dist', 'node_modules'],
});
