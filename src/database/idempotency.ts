import { Problem, unavailable } from '../problems/problem.js';
import { SqlState, sqlState } from './sqlstate.js';
import { column, Statement } from './statement.js';
import type { Transaction } from './transaction.js';

/** A request that may be sent again: `scope` is the caller, `fingerprint` tells this request from any other. */
export interface IdempotentRequest {
  readonly scope: string;
  readonly key: string;
  readonly fingerprint: Buffer;
}

/** A request with the id of the event that it will cause if it is the first with its key. */
export interface KeyedAttempt {
  readonly eventId: string;
  readonly request: IdempotentRequest;
}

/** What the first request with a key left: its fingerprint and the canonical state (null once erased) that it answered. */
export interface FirstRequest {
  readonly scope: string;
  readonly key: string;
  readonly fingerprint: Buffer;
  readonly state: Buffer | null;
}

/**
 * Takes the keys that are free and answers whose they are; `keyValues` has its parameters. Sorted, so that two
 * transactions that take the same keys cannot wait for each other.
 */
export const KEYS_TAKEN = `
  INSERT INTO idempotency_keys (scope, key, fingerprint, event_id)
  SELECT scope, key, fingerprint, event_id
    FROM unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[]) AS wanted (scope, key, fingerprint, event_id)
    ORDER BY scope COLLATE "C", key COLLATE "C"
  ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING
  RETURNING event_id`;

const TAKE_KEYS = new Statement<{ event_id: string }>('take idempotency keys', KEYS_TAKEN);

/** How long a duplicate waits in this process for the request that it repeats; across processes, `lock_timeout`. */
const PATIENCE_MS = 5_000;

/** What the duplicate is told when its patience ends. */
function stillInProgress(): Problem {
  return new Problem(
    'idempotency-in-progress',
    'A request with this idempotency key is still being carried out.',
    {
      headers: { 'Retry-After': '1' },
    },
  );
}

/**
 * Takes the key of each attempt. Waits for other transactions that are taking one of them; throws
 * `idempotency-in-progress` when that takes longer than the role's `lock_timeout`. Returns the first requests of those
 * attempts that are repetitions, by the attempts' event ids.
 */
export async function takeKeys(
  tx: Transaction,
  attempts: readonly KeyedAttempt[],
): Promise<Map<string, FirstRequest>> {
  const rows = await TAKE_KEYS.run(tx, keyValues(attempts)).catch((error: unknown) => {
    throw sqlState(error) === SqlState.lockNotAvailable ? stillInProgress() : error;
  });
  const taken = new Set(rows.map((row) => row.event_id));
  const repetitions = attempts.filter(({ eventId }) => !taken.has(eventId));
  if (repetitions.length === 0) return new Map();

  const earlier = await tx.query<FirstRequest[]>(
    `SELECT scope, key, fingerprint, audit_events.state
       FROM unnest($1::text[], $2::text[]) AS wanted (scope, key)
       JOIN idempotency_keys USING (scope, key)
       JOIN audit_events ON audit_events.id = idempotency_keys.event_id`,
    [repetitions.map(({ request }) => request.scope), repetitions.map(({ request }) => request.key)],
  );
  const byName = new Map(earlier.map((first) => [nameOf(first), first]));
  return new Map(
    repetitions.map(({ eventId, request }) => {
      const first = byName.get(nameOf(request));
      // Purged between the two statements: it was as good as forgotten, a retry takes it anew.
      if (first === undefined) throw unavailable();
      return [eventId, first];
    }),
  );
}

/** The parameters of `KEYS_TAKEN`. */
export function keyValues(attempts: readonly KeyedAttempt[]): readonly unknown[][] {
  const requests = column(attempts, 'request');
  return [
    column(requests, 'scope'),
    column(requests, 'key'),
    column(requests, 'fingerprint'),
    column(attempts, 'eventId'),
  ];
}

/** Frees the keys of requests that changed nothing, within the transaction that took them. */
export async function freeKeys(tx: Transaction, requests: readonly IdempotentRequest[]): Promise<void> {
  await tx.query(
    `DELETE FROM idempotency_keys
       USING unnest($1::text[], $2::text[]) AS idle (scope, key)
       WHERE idempotency_keys.scope = idle.scope AND idempotency_keys.key = idle.key`,
    [requests.map(({ scope }) => scope), requests.map(({ key }) => key)],
  );
}

/** The keys that this process is busy with: a duplicate waits here, without holding a connection. */
export class BusyKeys {
  private readonly busy = new Map<string, Promise<void>>();

  /**
   * Runs `work` as the only one in this process that is busy with these keys (undefined stands for none). Throws
   * `idempotency-in-progress` when somebody else is for too long.
   */
  async hold<T>(requests: readonly (IdempotentRequest | undefined)[], work: () => Promise<T>): Promise<T> {
    const names = requests.flatMap((request) => (request === undefined ? [] : [nameOf(request)]));
    // All at once or none: two who hold some of each other's keys would wait for ever.
    for (let busy; (busy = names.find((name) => this.busy.has(name))) !== undefined;) {
      if (!(await this.freed(busy))) throw stillInProgress();
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const name of names) this.busy.set(name, promise);
    try {
      return await work();
    } finally {
      for (const name of names) this.busy.delete(name);
      resolve();
    }
  }

  /** Waits until the key is free; answers false when that takes too long. */
  private async freed(name: string): Promise<boolean> {
    const busy = this.busy.get(name);
    if (busy === undefined) return true;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), PATIENCE_MS);
    });
    return Promise.race([busy.then(() => true), patience]).finally(() => clearTimeout(timer));
  }
}

function nameOf({ scope, key }: { scope: string; key: string }): string {
  return `${scope} ${key}`;
}
