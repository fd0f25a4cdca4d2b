import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Batches } from '../database/batches.js';
import type { StateOf, SubjectType } from '../database/event.js';
import { Statement } from '../database/statement.js';

interface Wanted {
  readonly type: SubjectType;
  readonly id: string;
}

const NEWEST_STATES = new Statement<{ type: string; id: string; state: Buffer }>(
  'newest states',
  `SELECT newest.type, wanted.id, newest.state
     FROM unnest($1::uuid[]) AS wanted (id)
    CROSS JOIN LATERAL (
      SELECT subject_type AS type, state
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
    const state = await this.reads.add({ type, id });
    // Here, where one that is damaged concerns only who asks for it.
    return state && (JSON.parse(state.toString()) as StateOf<Type>);
  }

  private async read(wanted: readonly Wanted[]): Promise<(Buffer | undefined)[]> {
    const rows = await NEWEST_STATES.run(this.dataSource.manager, [wanted.map(({ id }) => id)]);
    const byId = new Map(rows.map((row) => [row.id, row]));
    return wanted.map(({ type, id }) => {
      const row = byId.get(id.toLowerCase());
      return row?.type === type ? row.state : undefined;
    });
  }
}
