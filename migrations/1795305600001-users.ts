import type { MigrationInterface, QueryRunner } from 'typeorm';
import { guardSubject } from './guards.js';

export class Users1795305600001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE users (
        id         uuid NOT NULL,
        version    integer NOT NULL,
        name       text NOT NULL,
        email      text NOT NULL,
        role       text NOT NULL,
        status     text NOT NULL,
        created_at timestamptz(3) NOT NULL,
        updated_at timestamptz(3) NOT NULL,
        CONSTRAINT users_pkey PRIMARY KEY (id),
        CONSTRAINT users_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
        CONSTRAINT users_email_check CHECK (char_length(email) BETWEEN 3 AND 254),
        CONSTRAINT users_role_check CHECK (role IN ('customer', 'staff', 'auditor', 'admin')),
        CONSTRAINT users_status_check CHECK (status IN ('active', 'suspended', 'erased')),
        CONSTRAINT users_updated_at_check CHECK (updated_at >= created_at)
      )`);
    await runner.query(`CREATE UNIQUE INDEX users_email_key ON users (lower(email))`);
    await guardSubject(runner, 'users');
    await runner.query(`
      GRANT SELECT, INSERT, UPDATE (version, name, email, role, status, updated_at) ON users TO ordo_service`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE users`);
  }
}
