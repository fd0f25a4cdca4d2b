import { setTimeout as delay } from 'node:timers/promises';
import { type DataSource, type EntityManager, QueryFailedError, type QueryRunner } from 'typeorm';
import { unavailable } from '../problems/problem.js';
import { isRetryable, sqlState } from './sqlstate.js';
import type { Statement } from './statement.js';

/** An open transaction. Whatever changes rows takes it as its first parameter. */
export type Transaction = EntityManager;

/** How a transaction ends and what comes out of it. */
interface Ending<T> {
  readonly commit: boolean;
  readonly result: T;
}

const RETRIES = 3;

/**
 * Runs `work` in one transaction (READ COMMITTED), again from the start after a serialization failure or deadlock,
 * at most three times. Throws what `work` throws (rolled back), or `unavailable` when the conflict stays or when
 * COMMIT was never answered: its outcome is then unknown.
 */
export async function inTransaction<T>(
  dataSource: DataSource,
  work: (tx: Transaction) => Promise<Ending<T>>,
): Promise<T> {
  for (let retry = 0; ; retry++) {
    try {
      return await attempt(dataSource, work);
    } catch (error) {
      if (!isRetryable(error)) throw error;
      if (retry === RETRIES) throw unavailable('Too many requests change the same data at once.');
      await delay(Math.random() * 20 * 2 ** retry);
    }
  }
}

/**
 * Runs `work`, which only reads and is soon over, in one snapshot of the pool: all of its queries see the same commits,
 * and nobody waits for it.
 */
export async function inSnapshot<T>(
  dataSource: DataSource,
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  const runner = dataSource.createQueryRunner();
  try {
    await runner.startTransaction('REPEATABLE READ');
    await runner.query('SET TRANSACTION READ ONLY');
    return await work(runner.manager);
  } finally {
    await runner.rollbackTransaction().catch(() => undefined);
    await runner.release();
  }
}

/**
 * Runs `work` like `inTransaction`, but with one snapshot for all statements (REPEATABLE READ) and once: a serialization
 * failure, with which another transaction shows that it was faster, is thrown as it is.
 */
export async function changeInSnapshot<T>(
  dataSource: DataSource,
  work: (tx: Transaction) => Promise<Ending<T>>,
): Promise<T> {
  return attempt(dataSource, work, 'REPEATABLE READ');
}

/**
 * Runs one statement as a transaction of its own. Throws what PostgreSQL says against it (nothing is kept), or
 * `unavailable` when it said nothing: the outcome is then unknown.
 */
export async function inOneStatement<R>(
  dataSource: DataSource,
  statement: Statement<R>,
  values: readonly unknown[],
): Promise<R[]> {
  const runner = dataSource.createQueryRunner();
  try {
    await runner.connect();
    return await statement.run(runner.manager, values).catch((error: unknown) => {
      // What else is thrown was thrown before anything was asked.
      if (error instanceof QueryFailedError) unlessUnanswered(error);
      throw error;
    });
  } finally {
    await runner.release();
  }
}

async function attempt<T>(
  dataSource: DataSource,
  work: (tx: Transaction) => Promise<Ending<T>>,
  isolation?: 'REPEATABLE READ',
): Promise<T> {
  const runner = dataSource.createQueryRunner();
  try {
    await runner.startTransaction(isolation);
    const { commit: worthKeeping, result } = await work(runner.manager);
    if (worthKeeping) await commit(runner);
    else await runner.rollbackTransaction();
    return result;
  } catch (error) {
    // A connection that cannot roll back any more is gone, and its transaction with it.
    await runner.rollbackTransaction().catch(() => undefined);
    throw error;
  } finally {
    await runner.release();
  }
}

/**
 * COMMIT that believes only the database's own word: of an aborted transaction PostgreSQL answers ROLLBACK, without
 * an error; and where no answer comes, nobody knows.
 */
async function commit(runner: QueryRunner): Promise<void> {
  const client = (await runner.connect()) as { query(sql: string): Promise<{ command: string }> };
  const { command } = await client.query('COMMIT').catch(unlessUnanswered);
  if (command !== 'COMMIT')
    throw new Error('The transaction was aborted by an error that its use case swallowed');
}

/** Throws what PostgreSQL said about the end of a transaction; where it said nothing, nobody knows what became of it. */
function unlessUnanswered(error: unknown): never {
  if (sqlState(error) !== undefined) throw error;
  throw unavailable(
    'The database did not say whether the change was kept. Retry with the same idempotency key.',
  );
}
