import { rm } from 'node:fs/promises';

/** Stops the run's PostgreSQL and removes its data. */
export default async function tearDown() {
  const { folder, server } = globalThis.ordoTestServer;
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
