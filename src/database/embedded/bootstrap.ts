import pg from 'pg';
import type { Passwords } from './passwords.js';

/**
 * Makes the database `ordo` and its two logins; finishes what an earlier start did not. Takes the superuser's open
 * connection to the database `postgres`.
 */
export async function bootstrap(superuser: pg.Client, passwords: Passwords): Promise<void> {
  await createLogin(superuser, 'ordo_owner', passwords.ordo_owner);
  await createLogin(superuser, 'ordo_app', passwords.ordo_app);
  const { rowCount } = await superuser.query(`SELECT FROM pg_database WHERE datname = 'ordo'`);
  if (rowCount === 0) await superuser.query('CREATE DATABASE ordo OWNER ordo_owner');
  // The owner of a database owns its schema `public` (as pg_database_owner); nobody else may create there.
  await superuser.query(`
    ALTER ROLE ordo_owner CREATEROLE;
    ALTER ROLE ordo_app SET statement_timeout = '10s';
    ALTER ROLE ordo_app SET lock_timeout = '5s';
    ALTER ROLE ordo_app SET idle_in_transaction_session_timeout = '15s';
    REVOKE ALL ON DATABASE ordo, postgres, template1 FROM PUBLIC;
    GRANT CONNECT ON DATABASE ordo TO ordo_app;
  `);
}

/**
 * Lets the running service do what the migrations allow to `ordo_service`, and become `ordo_sealer` for a transaction.
 * Takes an open connection of `ordo_owner`.
 */
export async function grantService(owner: pg.Client): Promise<void> {
  await owner.query('GRANT ordo_service TO ordo_app');
  await owner.query('GRANT ordo_sealer TO ordo_app WITH INHERIT FALSE, SET TRUE');
}

async function createLogin(superuser: pg.Client, role: string, password: string): Promise<void> {
  const { rowCount } = await superuser.query('SELECT FROM pg_roles WHERE rolname = $1', [role]);
  if (rowCount === 0)
    await superuser.query(`CREATE ROLE ${role} LOGIN PASSWORD ${pg.escapeLiteral(password)}`);
}
