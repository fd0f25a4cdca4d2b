import { randomBytes } from 'node:crypto';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { PinoLogger } from 'nestjs-pino';
import { DataSource } from 'typeorm';
import type { ServiceConfig } from '../config/config.js';
import { StartupError } from '../config/startup-error.js';
import type { Origin } from '../database/event.js';
import { newId } from '../database/new-id.js';
import { SqlState, sqlState } from '../database/sqlstate.js';
import { Problem } from '../problems/problem.js';
import { UsersService } from '../users/users.service.js';
import { PasswordChange } from './password-change.js';

/** The schema is not there yet, or the login is no member of `ordo_service` yet: the health check says so too. */
const NOT_READY: ReadonlySet<string> = new Set([SqlState.undefinedTable, SqlState.insufficientPrivilege]);

/** How long to wait for either. */
const SCHEMA_PAUSE_MS = 1_000;

/** Sees to it that there is somebody who can administer the service. */
@Injectable()
export class FirstAdmin implements OnApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly users: UsersService,
    private readonly passwords: PasswordChange,
    private readonly config: ConfigService<ServiceConfig, true>,
    private readonly logger: PinoLogger,
  ) {
    this.logger.setContext(FirstAdmin.name);
  }

  /**
   * Creates an admin from `ADMIN_EMAIL` and `ADMIN_PASSWORD` where there is no active one, and as soon as there is a
   * schema. Outside production a password is made where none is given, and printed. An admin with that address who has
   * no password gets the one that is given: so an operator, who can delete a forgotten one from the database, helps the
   * only admin. Throws `StartupError` for a password that is not accepted.
   */
  async ensure(): Promise<void> {
    try {
      if (await this.hasAdmin()) await this.giveBackPassword();
      else await this.create();
    } catch (error) {
      if (!NOT_READY.has(sqlState(error) ?? '')) throw error;
      this.tryLater();
    }
  }

  /** Whether the address is that of the admin whom an operator names: nobody else registers with it. */
  isReserved(email: string): boolean {
    return email.toLowerCase() === this.config.get('ADMIN_EMAIL', { infer: true }).toLowerCase();
  }

  onApplicationShutdown(): void {
    clearTimeout(this.timer);
  }

  private tryLater(): void {
    this.timer = setTimeout(() => {
      this.ensure().catch((error: unknown) => {
        this.logger.error({ err: error }, 'The first admin was not created');
        // A database that is away comes back; a password that is not accepted stays so.
        if (!(error instanceof StartupError)) this.tryLater();
      });
    }, SCHEMA_PAUSE_MS).unref();
  }

  private async create(): Promise<void> {
    const email = this.config.get('ADMIN_EMAIL', { infer: true });
    const given = this.config.get('ADMIN_PASSWORD', { infer: true });
    if (given === undefined && this.config.get('NODE_ENV', { infer: true }) === 'production') {
      this.logger.warn('There is no admin: set ADMIN_EMAIL and ADMIN_PASSWORD and start again');
      return;
    }
    const password = given ?? randomBytes(15).toString('base64url');
    try {
      await this.users.create({ name: 'Admin', email, password, role: 'admin' }, systemOrigin(), undefined);
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== 'already-exists') explainPassword(error);
      // Another replica was faster; or the address belongs to somebody who is no admin.
      if (await this.hasAdmin()) return;
      this.logger.warn('There is no admin, and ADMIN_EMAIL belongs to another user: set another ADMIN_EMAIL');
      return;
    }
    // Not through the logger: a password is for whoever sits in front, not for a log.
    if (given === undefined) {
      process.stdout.write(`\nSign in as ${email} with the password ${password} (told this once)\n\n`);
    }
  }

  private async giveBackPassword(): Promise<void> {
    const password = this.config.get('ADMIN_PASSWORD', { infer: true });
    if (password === undefined) {
      await this.warnOfLockOut();
      return;
    }
    const email = this.config.get('ADMIN_EMAIL', { infer: true });
    const [admin] = await this.dataSource.query<{ id: string }[]>(
      `SELECT id FROM users LEFT JOIN passwords ON user_id = users.id
        WHERE lower(email) = lower($1) AND role = 'admin' AND status = 'active' AND hash IS NULL`,
      [email],
    );
    if (admin === undefined) return;
    await this.passwords.give({ id: admin.id, email }, password, systemOrigin()).catch(explainPassword);
    this.logger.warn('The admin of ADMIN_EMAIL had no password and now has ADMIN_PASSWORD');
  }

  private async warnOfLockOut(): Promise<void> {
    const rows = await this.dataSource.query<unknown[]>(
      `SELECT FROM users JOIN passwords ON user_id = users.id WHERE role = 'admin' AND status = 'active' LIMIT 1`,
    );
    if (rows.length === 0) {
      this.logger.warn(
        'No admin has a password: set ADMIN_PASSWORD, and ADMIN_EMAIL to that of one, and start again',
      );
    }
  }

  private async hasAdmin(): Promise<boolean> {
    const rows = await this.dataSource.query<unknown[]>(
      `SELECT FROM users WHERE role = 'admin' AND status = 'active' LIMIT 1`,
    );
    return rows.length > 0;
  }
}

/** A password that is not accepted is told in one line. */
function explainPassword(error: unknown): never {
  if (!(error instanceof Problem) || error.code !== 'validation-failed') throw error;
  throw new StartupError(`ADMIN_PASSWORD: ${error.detail}`);
}

function systemOrigin(): Origin {
  return { actor: { type: 'system', id: null }, requestId: newId() };
}
