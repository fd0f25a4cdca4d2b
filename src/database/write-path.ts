import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Problem, unavailable } from '../problems/problem.js';
import { type Attempt, isKeyed, type Write } from './attempt.js';
import { Batches } from './batches.js';
import { type Creation, DirectWrite } from './direct-write.js';
import { type Action, type Change, type Occurrence, type Origin, timeOfChange } from './event.js';
import { insertEvents } from './events.repository.js';
import { BusyKeys, freeKeys, type IdempotentRequest, takeKeys } from './idempotency.js';
import { newId } from './new-id.js';
import {
  allOrNothing,
  failed,
  type Outcome,
  replay,
  type Result,
  resultOf,
  type Unchanged,
  type Written,
  written,
} from './outcomes.js';
import { isDatabaseUnavailable, SqlState, sqlState } from './sqlstate.js';
import { inTransaction, type Transaction } from './transaction.js';

/** What came of rows that have no version: the event that tells of it, or none when nothing was to be done. */
export interface Recorded<R> {
  readonly occurrence: Occurrence | undefined;
  readonly result: R;
}

/** Takes the inputs that are no replays, in the open transaction, and answers one outcome for each. */
type UseCase<A extends Action, I> = (tx: Transaction, inputs: readonly I[]) => Promise<readonly Outcome<A>[]>;

/** Batches of writes at once: one, as larger ones cost less, and others beside it where it waits for a lock or a disk. */
const BATCHES_IN_FLIGHT = 3;
const BESIDE_AFTER_MS = 100;
/** Answers that are made ready in a few milliseconds, after which the next batch may have ended. */
const TOLD_AT_ONCE = 16;
/** Of writes that are tried one by one, those that may wait for a lock before the rest is sent away. */
const MOST_LOCKED = 3;
/** Writes that wait for a batch; what is beyond would wait for seconds. */
const WAITING_WRITES = 2_000;

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
    const attempt = toAttempt({ input: undefined, origin, request });
    return this.busyKeys.hold([request], async () => {
      const [result] = await this.transact<A, undefined>([attempt], async (tx) => [await useCase(tx)]);
      return written(result);
    });
  }

  /**
   * A use case that is asked for often: those who ask while a transaction is under way share the next one (group
   * commit), at most `weight` together. What `creation` cannot do goes through `useCase`, which knows the reasons.
   * Returns what carries out one write, for itself as far as anybody can tell.
   */
  group<A extends Action, I>(
    useCase: UseCase<A, I>,
    creation: Creation<A, I>,
    limits: { readonly weight: number; readonly weigh: (input: I) => number },
  ): (write: Write<I>) => Promise<Written<A>> {
    const shared = {
      inFlight: BATCHES_IN_FLIGHT,
      besideAfterMs: BESIDE_AFTER_MS,
      toldAtOnce: TOLD_AT_ONCE,
      waiting: WAITING_WRITES,
      weight: limits.weight,
      weigh: ({ input }: Attempt<I>) => limits.weigh(input),
    };
    const transactions = new Batches(
      (attempts: readonly Attempt<I>[]) => this.transactEach(attempts, useCase),
      { ...shared, name: `${creation.name}, or find out why not` },
    );
    const direct = new DirectWrite(creation);
    const statements = new Batches(
      (attempts: readonly Attempt<I>[]) =>
        this.writeDirectly(attempts, direct, useCase, (attempt) => transactions.add(attempt).catch(asError)),
      { ...shared, name: creation.name },
    );
    return (write) =>
      this.busyKeys.hold([write.request], async () => written(await statements.add(toAttempt(write))));
  }

  /**
   * Many changes, all or nothing: when one is a `Problem`, the others are `failed-dependency`, nothing is kept and all
   * keys stay free. No two writes may have the same key. Throws `idempotency-in-progress` when somebody else keeps one
   * of the keys for too long.
   */
  async writeTogether<A extends Action, I>(
    writes: readonly Write<I>[],
    useCase: UseCase<A, I>,
  ): Promise<Result<A>[]> {
    const attempts = writes.map(toAttempt);
    const requests = writes.map(({ request }) => request);
    return this.busyKeys.hold(requests, async () => {
      return allOrNothing(await this.transact(attempts, useCase, 'together'));
    });
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
      await insertEvents(tx, [{ id: newId(), origin, event }]);
      return { commit: true, result };
    });
  }

  /** One statement for all that nothing is opposed to; the others, who hold nobody up, are carried out `otherwise`. */
  private async writeDirectly<A extends Action, I>(
    attempts: readonly Attempt<I>[],
    direct: DirectWrite<A, I>,
    useCase: UseCase<A, I>,
    otherwise: (attempt: Attempt<I>) => Promise<Result<A>>,
  ): Promise<(Result<A> | Promise<Result<A>>)[]> {
    let changes: readonly (Change<A> | undefined)[] = [];
    try {
      changes = await direct.run(this.dataSource, attempts);
    } catch (error) {
      if (concernsAll(error)) throw error;
      // They have waited before, all of them for the one.
      if (sqlState(error) === SqlState.lockNotAvailable) return this.transactOneByOne(attempts, useCase);
    }
    return attempts.map((attempt, index) => {
      const change = changes[index];
      return change === undefined ? otherwise(attempt) : resultOf(change);
    });
  }

  /** One transaction for all; where that fails because of one of them, one for each, so that only theirs fail. */
  private async transactEach<A extends Action, I>(
    attempts: readonly Attempt<I>[],
    useCase: UseCase<A, I>,
  ): Promise<Result<A>[]> {
    try {
      return await this.transact(attempts, useCase);
    } catch (error) {
      if (attempts.length === 1 || concernsAll(error)) throw error;
      return this.transactOneByOne(attempts, useCase);
    }
  }

  private async transactOneByOne<A extends Action, I>(
    attempts: readonly Attempt<I>[],
    useCase: UseCase<A, I>,
  ): Promise<Result<A>[]> {
    const results: Result<A>[] = [];
    let locked = 0;
    // Why nobody else needs to try: the database is away, or everybody meets the same lock.
    let reason: Error | undefined;
    for (const attempt of attempts) {
      let result = reason ?? (await this.transactAlone(attempt, useCase));
      const isLocked = failed(result) && sqlState(result) === SqlState.lockNotAvailable;
      if (isLocked) result = unavailable('Others are changing the same data.');
      results.push(result);
      if (failed(result) && (isLocked ? ++locked === MOST_LOCKED : concernsAll(result))) reason = result;
    }
    return results;
  }

  private async transactAlone<A extends Action, I>(
    attempt: Attempt<I>,
    useCase: UseCase<A, I>,
  ): Promise<Result<A>> {
    try {
      const [result] = await this.transact([attempt], useCase, 'impatient');
      return written(result);
    } catch (error) {
      return asError(error);
    }
  }

  private async transact<A extends Action, I>(
    attempts: readonly Attempt<I>[],
    useCase: UseCase<A, I>,
    manner?: 'together' | 'impatient',
  ): Promise<Result<A>[]> {
    return inTransaction(this.dataSource, async (tx) => {
      // They have waited before.
      if (manner === 'impatient') await tx.query(`SET LOCAL lock_timeout = '200ms'`);
      const keyed = attempts.filter(isKeyed);
      const repetitions = keyed.length > 0 ? await takeKeys(tx, keyed) : new Map<string, never>();
      const fresh = attempts.filter(({ eventId }) => !repetitions.has(eventId));
      const inputs = fresh.map(({ input }) => input);
      const outcomes = fresh.length > 0 ? await useCase(tx, inputs) : [];
      const changed = await recordChanges(tx, fresh, outcomes);
      const ofFresh = outcomes.values();
      const result = attempts.map(({ eventId, request }) => {
        const first = repetitions.get(eventId);
        return first && request ? replay<A>(request, first) : resultOf(ofFresh.next().value);
      });
      const keep = manner !== 'together' || !result.some(failed);
      return { commit: changed && keep, result };
    });
  }
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

/** Whether an error says nothing about a single write: the database is away, or nobody knows what became of all. */
function concernsAll(error: unknown): boolean {
  if (error instanceof Problem) return error.code === 'unavailable';
  return isDatabaseUnavailable(error) || sqlState(error) === SqlState.queryCanceled;
}

function asError(thrown: unknown): Error {
  return Error.isError(thrown)
    ? thrown
    : new Error('Something was thrown that is no error', { cause: thrown });
}

function toAttempt<I>(write: Write<I>): Attempt<I> {
  return { ...write, eventId: newId() };
}
