// Builds dist/ when it does not match its sources, and does nothing otherwise.
//
// "Matches" is decided by content: git checkouts, copies and container layers do not keep modification
// times. dist/.sources holds the hash of everything that went into the build. `nest build` deletes dist/
// first, so a failed or interrupted build leaves no hash behind and the next start builds again.
//
// Runs on its own, or before a program of dist/ in the same process: `node --import ./scripts/build-if-stale.mjs`.
//
//   --stamp   only records that dist/ was just built (after `npm run build`)
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const nest = join(root, 'node_modules/@nestjs/cli/bin/nest.js');
const stamp = join(root, 'dist/.sources');
const lock = join(root, 'node_modules/.ordo-build.lock');

/** Everything that goes into dist/, as absolute paths. */
function sources() {
  const settings = readdirSync(root).filter((name) =>
    /^(tsconfig.*|nest-cli|package-lock)\.json$/.test(name),
  );
  const code = ['src', 'migrations'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  return [...settings.map((name) => join(root, name)), ...code].sort();
}

function hashOfSources() {
  const hash = createHash('sha256');
  for (const file of sources()) {
    const content = readFileSync(file);
    hash.update(`${relative(root, file).split(sep).join('/')}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

function isFresh() {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === hashOfSources();
}

/** Runs `nest build`; answers its exit code. */
function build() {
  if (!existsSync(nest)) {
    console.error('dist/ is missing or stale, and the build tools are not installed: run `npm ci` first.');
    return 1;
  }
  console.log('Building dist/ ...');
  // Taken before the build: an edit made meanwhile makes the next start build again.
  const hash = hashOfSources();
  const { status } = spawnSync(process.execPath, [nest, 'build'], { cwd: root, stdio: 'inherit' });
  if (status === 0) writeFileSync(stamp, hash);
  return status ?? 1;
}

/** Whether the process that wrote the lock is gone. */
function isAbandoned() {
  try {
    process.kill(Number(readFileSync(lock, 'utf8')), 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

/** Two builds at once would delete each other's output: the second waits for the first. */
async function withLock(work) {
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      if (isAbandoned()) rmSync(lock, { force: true });
      else await sleep(100);
    }
  }
  try {
    return work();
  } finally {
    rmSync(lock, { force: true });
  }
}

if (process.argv.includes('--stamp')) {
  writeFileSync(stamp, hashOfSources());
} else if (!isFresh()) {
  const code = await withLock(() => (isFresh() ? 0 : build()));
  // Also when it was imported before a program of dist/, which must not run then.
  if (code !== 0) process.exit(code);
}
