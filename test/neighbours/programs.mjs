import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const PACKAGES = { '/usr/sbin/pgbouncer': 'pgbouncer', '/usr/bin/redis-server': 'redis-server' };

/** Installs the neighbours of the service that are not there, where that is possible: as root, on Debian. */
export default function setUp() {
  const missing = Object.entries(PACKAGES).filter(([program]) => !existsSync(program));
  if (missing.length === 0 || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return;
  const names = missing.map(([, name]) => name);
  process.stdout.write(`Installing ${names.join(' and ')} ...\n`);
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [['update'], ['install', '--yes', '--no-install-recommends', ...names]]) {
    spawnSync('/usr/bin/apt-get', args, { env: environment, stdio: 'ignore' });
  }
}
