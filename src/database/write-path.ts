import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { notFound, Problem, unavailable } from '../problems/problem.js';
import {
  type Action,
  type Change,
  type EventStates,
  type Occurrence,
  type Origin,
  timeOfChange,
} from './event.js';
import { insertEvents } from './events.repository.js';
import {
  BusyKeys,
  freeKeys,
  type IdempotentRequest,
  type KeyedAttempt,
  stillInProgress,
  takeKeys,
} from './idempotency.js';
import { SqlState, sqlState } from './sqlstate.js';
import { inTransaction, type Transaction } from './transaction.js';

/** One change that somebody asks for. */
export interface Write<I> {
  readonly input: I;
  readonly origin: Origin;
  readonly request: IdempotentRequest | undefined;
}

/** What a use case says when the subject already is as wished: no version, no event. */
export interface Unchanged<A extends Action> {
  readonly unchanged: EventStates[A];
}

/** The subject's state after the write; `replayed` when an earlier request with the same key had made it. */
export interface Written<A extends Action> {
  readonly state: EventStates[A];
  readonly replayed: boolean;
}

/** What came of rows that have no version: the event that tells of it, or none when nothing was to be done. */
export interface Recorded<R> {
  readonly occurrence: Occurrence | undefined;
  readonly result: R;
}

type Outcome<A extends Action> = Change<A> | Unchanged<A> | Problem;
type Result<A extends Action> = Written<A> | Problem;
type UseCase<A extends Action, I> = (tx: Transaction, inputs: readonly I[]) => Promise<readonly Outcome<A>[]>;
type Attempt<I> = Write<I> & { readonly index: number; readonly eventId: string };

/**
 * The one way in which anything changes: opens the transaction, takes the idempotency keys, runs the use case, stores
 * the events that it returns, commits, and answers with the new states. A change and its event are committed together
 * or not at all.
 */
@Injectable()
export class WritePath {
  private readonly busyKeys = new BusyKeys();

  constructor(private readonly dataSource: DataSource) {}

  /** One change. `useCase` works in the open transaction; what it throws rolls everything back. */
  async write<A extends Action>(
    origin: Origin,
    request: IdempotentRequest | undefined,
    useCase: (tx: Transaction) => Promise<Change<A> | Unchanged<A>>,
  ): Promise<Written<A>> {
    const write = { input: undefined, origin, request };
    return single(await this.writeAll<A, undefined>([write], async (tx) => [await useCase(tx)]));
  }

  /**
   * Many changes in one transaction, their results in the same order. `useCase` takes the inputs that are no replays
   * and answers one outcome for each; a `Problem` concerns its own input alone, of which it has written no row.
   */
  async writeAll<A extends Action, I>(
    writes: readonly Write<I>[],
    useCase: UseCase<A, I>,
  ): Promise<Result<A>[]> {
    const results: Result<A>[] = [];
    let waiting = toAttempts(writes);
    while (waiting.length > 0) {
      const { ready, busy, release } = this.claimKeys(waiting);
      try {
        if (ready.length > 0) await this.transactEach(ready, useCase, results);
      } finally {
        release();
      }
      const [next, ...rest] = busy;
      const patient = next?.request === undefined || (await this.busyKeys.freed(next.request));
      if (next !== undefined && !patient) results[next.index] = stillInProgress();
      waiting = patient ? busy : rest;
    }
    return results;
  }

  /**
   * The same, but all or nothing: when one is a `Problem`, the others are `failed-dependency`, nothing is kept and all
   * keys stay free. No two writes may have the same key. Throws `idempotency-in-progress` when a transaction of another
   * process keeps one of the keys: it is not known which.
   */
  async writeTogether<A extends Action, I>(
    writes: readonly Write<I>[],
    useCase: UseCase<A, I>,
  ): Promise<Result<A>[]> {
    const attempts = toAttempts(writes);
    for (;;) {
      const results: Result<A>[] = [];
      const { busy, release } = this.claimKeys(attempts);
      const [next] = busy;
      try {
        if (next === undefined) {
          await this.transact(attempts, useCase, results, 'together');
          return allOrNothing(results);
        }
      } finally {
        release();
      }
      if (next.request !== undefined && !(await this.busyKeys.freed(next.request))) {
        return attempts.map(({ index }) => (index === next.index ? stillInProgress() : failedDependency()));
      }
    }
  }

  /**
   * Something that happens without changing a subject: `work` writes rows that have no version (a session, a
   * password), and its occurrence is stored together with them. Without one nothing is kept.
   */
  async record<R>(origin: Origin, work: (tx: Transaction) => Promise<Recorded<R>>): Promise<R> {
    return inTransaction(this.dataSource, async (tx) => {
      const { occurrence, result } = await work(tx);
      if (occurrence === undefined) return { commit: false, result };
      const { action, subjectId }: { action: string; subjectId: string | null } = occurrence;
      const event = { action, subjectId, at: timeOfChange().toISOString() };
      await insertEvents(tx, [{ id: uuidv7(), origin, event }]);
      return { commit: true, result };
    });
  }

  /** Those whose key nobody in this process is busy with, now claimed for them; and those who have to wait. */
  private claimKeys<I>(attempts: readonly Attempt<I>[]) {
    const ready: Attempt<I>[] = [];
    const busy: Attempt<I>[] = [];
    const releases: (() => void)[] = [];
    for (const attempt of attempts) {
      const release = attempt.request === undefined ? () => undefined : this.busyKeys.claim(attempt.request);
      if (release === undefined) {
        busy.push(attempt);
      } else {
        ready.push(attempt);
        releases.push(release);
      }
    }
    return { ready, busy, release: () => releases.forEach((release) => release()) };
  }

  /** One transaction for all; where somebody keeps a lock for too long, one for each, so that only theirs fail. */
  private async transactEach<A extends Action, I>(
    attempts: readonly Attempt<I>[],
    useCase: UseCase<A, I>,
    results: Result<A>[],
  ): Promise<void> {
    try {
      await this.transact(attempts, useCase, results);
    } catch (error) {
      if (attempts.length === 1 || lockTimeout(error) === undefined) throw error;
      for (const attempt of attempts) {
        await this.transact([attempt], useCase, results, 'impatient').catch((again: unknown) => {
          const problem = lockTimeout(again);
          if (problem === undefined) throw again;
          results[attempt.index] = problem;
        });
      }
    }
  }

  private async transact<A extends Action, I>(
    attempts: readonly Attempt<I>[],
    useCase: UseCase<A, I>,
    results: Result<A>[],
    manner?: 'together' | 'impatient',
  ): Promise<void> {
    const settled = await inTransaction(this.dataSource, async (tx) => {
      // They have waited before.
      if (manner === 'impatient') await tx.query(`SET LOCAL lock_timeout = '200ms'`);
      const keyed = attempts.filter(isKeyed);
      const repetitions = keyed.length > 0 ? await takeKeys(tx, keyed) : new Map<string, never>();
      const replays = keyed.flatMap((attempt) => {
        const first = repetitions.get(attempt.eventId);
        return first ? [{ index: attempt.index, result: replay<A>(attempt.request, first) }] : [];
      });
      const fresh = attempts.filter((attempt) => !repetitions.has(attempt.eventId));
      const inputs = fresh.map((attempt) => attempt.input);
      const outcomes = fresh.length > 0 ? await useCase(tx, inputs) : [];
      const changed = await recordChanges(tx, fresh, outcomes);
      const done = outcomes.map((outcome, position) => ({
        index: fresh[position]?.index ?? 0,
        result: toResult(outcome),
      }));
      const result = [...replays, ...done];
      const failed = manner === 'together' && result.some((one) => one.result instanceof Problem);
      return { commit: changed && !failed, result };
    });
    for (const { index, result } of settled) results[index] = result;
  }
}

/** The result of a list of one; throws it when it is a problem. */
export function single<A extends Action>([result]: readonly Result<A>[]): Written<A> {
  if (result === undefined || result instanceof Problem)
    throw result ?? new Error('A write without a result');
  return result;
}

/** Stores the events of the changes and frees the keys of the rest; answers whether there is anything to commit. */
async function recordChanges<A extends Action, I>(
  tx: Transaction,
  attempts: readonly Attempt<I>[],
  outcomes: readonly Outcome<A>[],
): Promise<boolean> {
  if (outcomes.length !== attempts.length) throw new Error('A use case owes one outcome for each input');
  const events = [];
  const idle = [];
  for (const [position, { eventId, origin, request }] of attempts.entries()) {
    const outcome = outcomes[position];
    if (outcome !== undefined && 'action' in outcome) events.push({ id: eventId, origin, event: outcome });
    else if (request !== undefined) idle.push(request);
  }
  if (events.length === 0) return false;
  if (idle.length > 0) await freeKeys(tx, idle);
  await insertEvents(tx, events);
  return true;
}

function toAttempts<I>(writes: readonly Write<I>[]): Attempt<I>[] {
  return writes.map((write, index) => ({ ...write, index, eventId: uuidv7() }));
}

function allOrNothing<A extends Action>(results: readonly Result<A>[]): Result<A>[] {
  if (!results.some((result) => result instanceof Problem)) return [...results];
  return results.map((result) => (result instanceof Problem ? result : failedDependency()));
}

/** What the others are told when one of all or nothing fails. */
export function failedDependency(): Problem {
  return new Problem('failed-dependency', 'Another item of the batch failed, so that nothing was placed.');
}

/** What to tell whoever needs a lock that was not to be had in time; undefined for any other error. */
function lockTimeout(error: unknown): Problem | undefined {
  if (error instanceof Problem) return error.code === 'idempotency-in-progress' ? error : undefined;
  if (sqlState(error) !== SqlState.lockNotAvailable) return undefined;
  return unavailable('Others are changing the same data.');
}

function isKeyed<I>(attempt: Attempt<I>): attempt is Attempt<I> & KeyedAttempt {
  return attempt.request !== undefined;
}

/** The first answer again, for the same request; the database holds it as the state of the first request's event. */
function replay<A extends Action>(
  request: IdempotentRequest,
  first: { fingerprint: Buffer; state: Buffer | null },
): Result<A> {
  if (!first.fingerprint.equals(request.fingerprint)) {
    return new Problem(
      'idempotency-key-reused',
      'This idempotency key belongs to an earlier, different request.',
    );
  }
  if (first.state === null) return notFound();
  return { state: JSON.parse(first.state.toString()) as EventStates[A], replayed: true };
}

function toResult<A extends Action>(outcome: Outcome<A>): Result<A> {
  if (outcome instanceof Problem) return outcome;
  return { state: 'action' in outcome ? outcome.state : outcome.unchanged, replayed: false };
}
