import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { Batches } from '../database/batches.js';
import type { StateOf, SubjectType } from '../database/event.js';
import type { Queryable } from '../database/snapshot.js';
import { Statement } from '../database/statement.js';

interface Wanted {
  readonly type: SubjectType;
  readonly id: string;
}

const NEWEST_STATES = new Statement<{ type: string; id: string; state: string }>(
  'newest states',
  `SELECT newest.type, wanted.id, newest.state
     FROM unnest($1::uuid[]) AS wanted (id)
    CROSS JOIN LATERAL (
      SELECT subject_type AS type, convert_from(state, 'UTF8') AS state
        FROM audit_events
       WHERE subject_id = wanted.id AND subject_version IS NOT NULL
       ORDER BY subject_version DESC
       LIMIT 1
    ) AS newest
    WHERE newest.state IS NOT NULL`,
);

/**
 * Subjects as they are now, from their newest events: a row equals the state of its newest event, and the state is one
 * row, whatever a subject is made of.
 */
@Injectable()
export class CurrentStates {
  // Two, so that one can be asked for while the other is read.
  private readonly reads = new Batches((wanted: readonly Wanted[]) => this.read(wanted), {
    name: 'read states',
    inFlight: 2,
    weight: 200,
    waiting: 4_000,
  });

  constructor(private readonly dataSource: DataSource) {}

  /** The state of one subject, undefined where there is none. Those who ask at the same time share a query. */
  async get<Type extends SubjectType>(type: Type, id: string): Promise<StateOf<Type> | undefined> {
    return (await this.reads.add({ type, id })) as StateOf<Type> | undefined;
  }

  private async read(
    wanted: readonly Wanted[],
    on: Queryable | EntityManager = this.dataSource.manager,
  ): Promise<unknown[]> {
    const rows = await NEWEST_STATES.run(on, [wanted.map(({ id }) => id)]);
    const byId = new Map(rows.map((row) => [row.id, row]));
    return wanted.map(({ type, id }) => {
      const row = byId.get(id.toLowerCase());
      return row?.type === type ? (JSON.parse(row.state) as unknown) : undefined;
    });
  }
}
