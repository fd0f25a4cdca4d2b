import pg from 'pg';
import { all, type Manifest, one } from './manifests.js';

/** As CloudNativePG does when it makes the database: what the Cluster says, by the superuser. */
export async function makeRoles(
  superuser: pg.Client,
  manifests: readonly Manifest[],
  password: string,
): Promise<void> {
  await superuser.query('DROP OWNED BY ordo_app; DROP ROLE ordo_app; ALTER ROLE ordo_owner NOCREATEROLE');
  const { bootstrap } = one(manifests, 'Cluster', 'ordo-postgres').spec;
  for (const statement of bootstrap!.initdb!.postInitApplicationSQL!) await superuser.query(statement);
  for (const role of ['ordo_app', 'ordo_owner'])
    await superuser.query(`ALTER ROLE ${role} PASSWORD '${password}'`);
}

/** As the image of PostgreSQL does in the overlay for development; what a new embedded server has goes before. */
export async function makeDatabaseAnew(superuserUrl: string, dev: readonly Manifest[]): Promise<void> {
  const script = all(dev, 'ConfigMap')
    .flatMap(({ data }) => data?.['roles.sql'] ?? [])
    .join();
  const connectionString = new URL('/postgres', superuserUrl).href;
  const superuser = new pg.Client({ connectionString });
  await superuser.connect();
  await superuser.query('DROP DATABASE ordo WITH (FORCE)');
  await superuser.query('DROP ROLE ordo_app, ordo_owner');
  for (const statement of script
    .replace(/^--.*$/gm, '')
    .split(/;\s*/)
    .filter(Boolean)) {
    await superuser.query(statement);
  }
  await superuser.end();
}

/** The text of a Secret; an address in it leads to the database of the test. */
export function decoded(base64: string, at: string): string {
  return Buffer.from(base64, 'base64')
    .toString()
    .replace(/@postgres\/ordo$/, `@${at}`);
}
