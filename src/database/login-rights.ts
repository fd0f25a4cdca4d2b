import type { DataSource } from 'typeorm';
import { StartupError } from '../config/startup-error.js';

interface Rights {
  readonly superuser: boolean;
  readonly owner: boolean;
  readonly createrole: boolean;
  readonly writer: boolean;
}

const REASONS: Record<keyof Rights, string> = {
  superuser: 'is a superuser',
  owner: 'is a member of the owner of the database or of its tables',
  createrole: 'may give itself roles (CREATEROLE)',
  writer: 'may change the audit trail',
};

/**
 * Throws StartupError where the login could undo what the database promises: it has to be a member of `ordo_service`
 * and no more. Without a schema yet, the database's owner is still told.
 */
export async function refuseMightyLogin(dataSource: DataSource): Promise<void> {
  const [rights] = await dataSource.query<[Rights]>(
    `SELECT rolsuper AS superuser, rolcreaterole AS createrole,
            pg_has_role(session_user, datdba, 'MEMBER') OR EXISTS (
              SELECT FROM pg_class WHERE relnamespace = events.relnamespace AND relkind IN ('r', 'S')
                                     AND pg_has_role(session_user, relowner, 'MEMBER')) AS owner,
            coalesce(has_table_privilege(session_user, events.oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER'), false) AS writer
       FROM pg_roles JOIN pg_database ON datname = current_database()
       LEFT JOIN pg_class AS events ON events.oid = to_regclass('audit_events')
      WHERE rolname = session_user`,
  );
  const reasons = (['superuser', 'owner', 'createrole', 'writer'] as const).filter((right) => rights[right]);
  const [reason] = reasons;
  if (reason !== undefined) {
    throw new StartupError(
      `DATABASE_URL: its login ${REASONS[reason]}; production takes one that is a member of ordo_service only`,
    );
  }
}
