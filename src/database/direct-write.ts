import type { DataSource } from 'typeorm';
import { type Attempt, isKeyed } from './attempt.js';
import type { Action, Change } from './event.js';
import { EVENT_ARRAYS, EVENT_COLUMNS, eventValues } from './events.repository.js';
import { KEYS_TAKEN, keyValues } from './idempotency.js';
import { column, numberedFrom, Statement } from './statement.js';
import { inOneStatement } from './transaction.js';

/** A use case that creates subjects, as far as it can be told to PostgreSQL in one go. */
export interface Creation<A extends Action, I> {
  readonly name: string;
  /**
   * CTEs that create the subjects that `wanted (id)` names and to which nothing is opposed, and list them as
   * `created (id)`; they begin with a name and end without a comma.
   */
  readonly ctes: string;
  /** The change that an input makes if the database has nothing against it; undefined if it need not be asked. */
  readonly changeOf: (input: I) => Change<A> | undefined;
  /** The parameters of the CTEs. */
  readonly values: (states: readonly Change<A>['state'][]) => readonly unknown[];
}

/** Parameters of the keys and of the events; then follows for which of these a key is among the first, and the CTEs'. */
const [KEYS, EVENTS] = [KEYS_TAKEN, EVENT_ARRAYS].map(parametersOf) as [number, number];

/**
 * Creates subjects with one statement, which is a transaction: it takes the idempotency keys, runs the use case for
 * those that are no repetitions, and stores the events of what was created.
 */
export class DirectWrite<A extends Action, I> {
  private readonly statement: Statement<{ id: string }>;

  constructor(private readonly creation: Creation<A, I>) {
    // All keys are taken before the use case waits for any lock: to look up whether one is among them reads all. Of a
    // key that is taken and comes to nothing the foreign key to its event is broken at the end, so that nothing is kept.
    this.statement = new Statement(
      `${creation.name} directly`,
      `WITH taken AS (${KEYS_TAKEN}),
       events AS MATERIALIZED (
         SELECT * FROM unnest(${numberedFrom(KEYS + 1, EVENT_ARRAYS)}, $${KEYS + EVENTS + 1}::boolean[])
                    AS event (${EVENT_COLUMNS}, is_keyed)
       ),
       wanted AS MATERIALIZED (
         SELECT subject_id AS id FROM events WHERE NOT is_keyed OR id IN (SELECT event_id FROM taken)
       ),
       ${numberedFrom(KEYS + EVENTS + 2, creation.ctes)},
       stored AS (
         INSERT INTO audit_events (${EVENT_COLUMNS})
         SELECT ${EVENT_COLUMNS.replace(/\w+/g, 'event.$&')} FROM events AS event JOIN created ON created.id = event.subject_id
       )
       SELECT id FROM created`,
    );
  }

  /**
   * Answers the change that each attempt has made; undefined where it has made none, for a reason that is still to be
   * found out. Throws as `inOneStatement` does, in particular when one that had a key is the one that came to nothing.
   */
  async run(dataSource: DataSource, attempts: readonly Attempt<I>[]): Promise<(Change<A> | undefined)[]> {
    const changes = attempts.map(({ input }) => this.creation.changeOf(input));
    const tried = attempts.flatMap((attempt, index) => {
      const change = changes[index];
      return change === undefined ? [] : [{ attempt, change }];
    });
    if (tried.length === 0) return changes;
    const tries = column(tried, 'attempt');
    const states = column(column(tried, 'change'), 'state');
    const events = tried.map(({ attempt: { eventId, origin }, change }) => ({
      id: eventId,
      origin,
      event: change,
    }));
    const rows = await inOneStatement(dataSource, this.statement, [
      ...keyValues(tries.filter(isKeyed)),
      ...eventValues(events),
      tries.map(isKeyed),
      ...this.creation.values(states),
    ]);
    const created = new Set(column(rows, 'id'));
    return changes.map((change) => (change && created.has(change.state.id) ? change : undefined));
  }
}

function parametersOf(text: string): number {
  return Math.max(...Array.from(text.matchAll(/\$(\d+)/g), ([, number]) => Number(number)));
}
