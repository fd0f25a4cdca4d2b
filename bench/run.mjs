// `npm run bench`: compiles bench/ beside the built service, as dist/bench/, and runs it. SWC takes a moment where the
// TypeScript compiler takes seconds; `npm run check` looks at the types.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { transformFileSync } from '@swc/core';

const source = dirname(fileURLToPath(import.meta.url));
const target = join(source, '../dist/bench');

const options = {
  configFile: false,
  swcrc: false,
  sourceMaps: 'inline',
  module: { type: 'es6' },
  jsc: {
    target: 'es2024',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
    keepClassNames: true,
  },
};

for (const entry of readdirSync(source, { recursive: true, withFileTypes: true })) {
  if (!entry.name.endsWith('.ts')) continue;
  const from = join(entry.parentPath, entry.name);
  const to = join(target, relative(source, from).replace(/\.ts$/, '.js'));
  const { code } = transformFileSync(from, options);
  if (existsSync(to) && readFileSync(to, 'utf8') === code) continue;
  // In one step: another run may be reading it.
  mkdirSync(dirname(to), { recursive: true });
  const draft = `${to}.${process.pid}`;
  writeFileSync(draft, code);
  renameSync(draft, to);
}

await import(pathToFileURL(join(target, 'main.js')).href);
