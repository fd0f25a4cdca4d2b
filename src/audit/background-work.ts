import { setTimeout as delay } from 'node:timers/promises';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import type { PinoLogger } from 'nestjs-pino';
import { isDatabaseUnavailable, SqlState, sqlState } from '../database/sqlstate.js';
import { Problem } from '../problems/problem.js';
import { Contradiction, Obstacle } from './obstacle.js';

const PAUSE_AFTER_FAILURE_MS = 1_000;

/**
 * Work that a process does beside the requests, one turn after the other, until it shuts down. A contradiction is the
 * last that it sees: a log that says one thing and then another again is for an operator to judge, who starts the
 * process again.
 */
export abstract class BackgroundWork implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly stopping = new AbortController();
  private running = Promise.resolve();
  private failure: { readonly reason: string; readonly error: unknown } | undefined;

  /** `name` says in the log what goes on or does not. */
  protected constructor(
    protected readonly logger: PinoLogger,
    private readonly name: string,
    readonly isOn: boolean,
  ) {
    this.logger.setContext(new.target.name);
  }

  /** Why the last turn failed; undefined when it did not. */
  get trouble(): string | undefined {
    return this.failure?.reason;
  }

  /** Whether it has ended because the log contradicts what was signed. */
  get isContradicted(): boolean {
    return this.failure?.error instanceof Contradiction;
  }

  onApplicationBootstrap(): void {
    if (this.isOn) this.running = this.run();
  }

  /** Lets the turn under way finish, while there still are connections. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** One turn; returns the milliseconds to wait before the next. `signal` tells of the end of the process. */
  abstract turn(signal: AbortSignal): Promise<number>;

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted && !this.isContradicted) {
      const pause = await this.tryTurn(signal);
      await delay(pause, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  private async tryTurn(signal: AbortSignal): Promise<number> {
    try {
      const pause = await this.turn(signal);
      if (this.failure !== undefined) this.logger.info(`${this.name}: goes on`);
      this.failure = undefined;
      return pause;
    } catch (error) {
      if (!signal.aborted) this.tell(error);
      return PAUSE_AFTER_FAILURE_MS;
    }
  }

  /** Once for as long as the reason stays the same. */
  private tell(error: unknown): void {
    const reason = reasonOf(error);
    if (reason === this.failure?.reason) return;
    this.failure = { reason, error };
    const level = error instanceof Obstacle || reason === UNFORESEEN ? 'error' : 'warn';
    const until = error instanceof Contradiction ? ' (until this process is started again)' : '';
    this.logger[level]({ err: error }, `${this.name}: ${reason}${until}`);
  }
}

const UNFORESEEN = 'An unforeseen error, see the log';

function reasonOf(error: unknown): string {
  if (error instanceof Obstacle) return error.message;
  const isUnanswered = error instanceof Problem && error.code === 'unavailable';
  if (isUnanswered || isDatabaseUnavailable(error)) return 'The database does not answer';
  if (sqlState(error) === SqlState.undefinedTable) return 'A migration is pending';
  if (sqlState(error) === SqlState.insufficientPrivilege) {
    return 'The login may not do this: GRANT ordo_sealer to it WITH INHERIT FALSE, SET TRUE';
  }
  return UNFORESEEN;
}
