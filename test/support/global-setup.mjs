import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  grantServiceRole,
  startEmbeddedDatabase,
} from '../../dist/src/database/embedded/embedded-database.js';
import { migrate } from '../../dist/src/database/migrate.js';

/**
 * One PostgreSQL for the whole run, with a migrated database that every test file clones. Nothing on it outlives the
 * run, so it need not survive a crash.
 */
export default async function setUp() {
  const folder = await mkdtemp(join(tmpdir(), 'ordo-test-'));
  // As root the server runs as another user, who has to get in.
  await chmod(folder, 0o755);
  const server = await startEmbeddedDatabase(folder, { durable: false, maxConnections: 300 });
  await migrate(server.ownerUrl);
  await grantServiceRole(server);
  process.env.ORDO_TEST_SUPERUSER_URL = server.superuserUrl;
  process.env.ORDO_TEST_OWNER_URL = server.ownerUrl;
  process.env.ORDO_TEST_SERVICE_URL = server.serviceUrl;
  globalThis.ordoTestServer = { folder, server };
}
