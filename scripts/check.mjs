// `npm run check`: everything that CI checks, one step after the other. All steps run even when one fails.
//
//   npm run check -- lint types   only these
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const steps = {
  format: ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.'],
  lint: ['node_modules/eslint/bin/eslint.js', '--max-warnings=0', '.'],
  types: ['node_modules/typescript/bin/tsc', '--noEmit', '-p', 'tsconfig.json'],
  arrows: ['node_modules/dependency-cruiser/bin/dependency-cruiser.mjs', 'src', 'migrations', 'bench'],
  unused: ['node_modules/knip/bin/knip.js', '--no-progress', '--no-config-hints'],
  build: ['scripts/build-if-stale.mjs'],
  openapi: ['dist/src/cli/openapi.js', '--check'],
  readme: ['scripts/check-readme.mjs', '--check'],
  sql: ['scripts/check-sql.mjs'],
};

const onDist = ['openapi', 'readme', 'sql'];

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(steps);
const unknown = wanted.filter((name) => !Object.hasOwn(steps, name));
if (unknown.length > 0) {
  console.error(`No such step: ${unknown.join(', ')}. There are: ${Object.keys(steps).join(', ')}`);
  process.exit(2);
}

if (wanted.some((name) => onDist.includes(name)) && !wanted.includes('build')) wanted.unshift('build');

const failed = [];
for (const name of wanted) {
  console.log(`\n> ${name}`);
  if (onDist.includes(name) && failed.includes('build')) {
    console.log(`FAILED: ${name} (needs the build)`);
    failed.push(name);
    continue;
  }
  const started = performance.now();
  const { status } = spawnSync(process.execPath, steps[name], { cwd: root, stdio: 'inherit' });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${status === 0 ? 'ok' : 'FAILED'}: ${name} (${seconds} s)`);
  if (status !== 0) failed.push(name);
}

if (failed.length > 0) {
  console.error(`\nFailed: ${failed.join(', ')}`);
  process.exitCode = 1;
}
