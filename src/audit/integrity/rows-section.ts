import type { SubjectState } from '../../database/event.js';
import { sqlState } from '../../database/sqlstate.js';
import type { Transaction } from '../../database/transaction.js';
import { type Finding, finding } from './finding.js';
import { type Bounds, type Difference, differencesOf, type Section, type SectionPage } from './section.js';
import type { Reading, TypeCheck } from './subject-check.js';

/** The oldest and the newest event of a row. */
interface Ends {
  readonly id: string;
  readonly version: number;
  readonly newest: number | null;
  readonly createdAt: string | null;
  readonly updatedAt: string | null;
  readonly state: Buffer | null;
}

interface Stray {
  readonly id: string;
  readonly part: string;
}

const MOST_STRAYS = 100;
const TIME = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`;

/** The rows of one type of subject, by id: each against itself and against the state of its newest event. */
export class RowsSection implements Section {
  constructor(private readonly check: TypeCheck) {}

  get name(): string {
    return `${this.check.type} rows`;
  }

  get table(): string {
    return this.check.table;
  }

  async bounds(tx: Transaction): Promise<Bounds | undefined> {
    const keys = [[this.check.table, 'id'] as const, ...Object.entries(this.check.parts)];
    const end = (direction: string) =>
      keys
        .map(([table, id]) => `(SELECT ${id} FROM ${table} ORDER BY ${id} ${direction} LIMIT 1)`)
        .join(', ');
    const [bounds] = await tx.query<[{ first: string | null; last: string | null }]>(
      `SELECT least(${end('ASC')}) AS first, greatest(${end('DESC')}) AS last`,
    );
    return bounds.first === null || bounds.last === null
      ? undefined
      : { first: bounds.first, last: bounds.last };
  }

  async page(tx: Transaction, after: string | undefined, last: string, limit: number): Promise<SectionPage> {
    const rows = await tx.query<{ id: string }[]>(
      `SELECT id FROM ${this.check.table} WHERE id <= $1 AND ${after === undefined ? '$2::uuid IS NULL' : 'id > $2'}
        ORDER BY id LIMIT ${limit}`,
      [last, after ?? null],
    );
    const end = rows.length === limit ? rows.at(-1)?.id : undefined;
    const { strays, end: cut } = await this.findStrays(tx, after, end ?? last);
    const ids = rows.map(({ id }) => id).filter((id) => cut === undefined || id <= cut);
    return {
      checked: ids.length,
      differences: [...strays, ...(await this.examine(tx, ids))],
      next: cut ?? end,
    };
  }

  /** UUIDv7: the first six bytes are milliseconds. */
  measure(key: string): number {
    return parseInt(key.replaceAll('-', '').slice(0, 12), 16);
  }

  /** Parts without a subject, in a range of ids; so many of them that they fill a page `end` it before. */
  private async findStrays(tx: Transaction, after: string | undefined, to: string) {
    const tables = Object.entries(this.check.parts);
    if (tables.length === 0) return { strays: [], end: undefined };
    const within = (id: string) =>
      `${id} <= $1 AND ${after === undefined ? '$2::uuid IS NULL' : `${id} > $2`}`;
    const selects = tables.map(
      ([table, id]) =>
        `SELECT DISTINCT ${id} AS id, '${table}' AS part FROM ${table}
          WHERE ${within(id)} AND NOT EXISTS (SELECT FROM ${this.check.table} AS subject WHERE subject.id = ${id})`,
    );
    const found = await tx.query<Stray[]>(
      `SELECT id, part FROM (${selects.join(' UNION ALL ')}) AS strays ORDER BY id, part LIMIT ${MOST_STRAYS}`,
      [to, after ?? null],
    );
    const strays = found.flatMap(({ id, part }) => this.tell(id, null, [finding('row-missing', part)]));
    return { strays, end: found.length === MOST_STRAYS ? found.at(-1)?.id : undefined };
  }

  private async examine(tx: Transaction, ids: readonly string[]): Promise<Difference[]> {
    if (ids.length === 0) return [];
    const rows = new Map((await this.read(tx, ids)).map((row) => [row.state.id, row]));
    const event = (direction: string) =>
      `SELECT subject_version, at, state FROM audit_events
        WHERE subject_id = subject.id AND subject_version IS NOT NULL AND subject_type = $2
        ORDER BY subject_version ${direction} LIMIT 1`;
    const ends = await tx.query<Ends[]>(
      `SELECT id, version, newest.subject_version AS newest, newest.state,
              to_char(oldest.at AT TIME ZONE 'UTC', ${TIME}) AS "createdAt",
              to_char(newest.at AT TIME ZONE 'UTC', ${TIME}) AS "updatedAt"
         FROM ${this.check.table} AS subject
         LEFT JOIN LATERAL (${event('ASC')}) AS oldest ON true
         LEFT JOIN LATERAL (${event('DESC')}) AS newest ON true
        WHERE id = ANY($1::uuid[])
        ORDER BY id`,
      [ids, this.check.type],
    );
    return ends.flatMap((end) => {
      const row = rows.get(end.id);
      const findings = row
        ? [...(row.findings ?? []), ...this.compare(row.state, end)]
        : [finding('row-unreadable', '')];
      return this.tell(end.id, end.version, findings);
    });
  }

  /** Where one row of many cannot be read, all the others are. */
  private async read(tx: Transaction, ids: readonly string[]): Promise<readonly Reading<SubjectState>[]> {
    try {
      return await this.check.read(tx, ids);
    } catch (error) {
      if (sqlState(error) !== undefined || ids.length === 0) throw error;
      if (ids.length === 1) return [];
      const half = Math.ceil(ids.length / 2);
      return [...(await this.read(tx, ids.slice(0, half))), ...(await this.read(tx, ids.slice(half)))];
    }
  }

  private compare(state: SubjectState, end: Ends): Finding[] {
    if (end.newest === null || end.newest < state.version) {
      return [finding('event-missing', '/version', { expected: state.version, actual: end.newest })];
    }
    if (end.newest > state.version) {
      return [finding('event-unexpected', '/version', { expected: end.newest, actual: state.version })];
    }
    const findings = end.state === null ? [] : this.compareStates(end.state, state);
    for (const member of ['createdAt', 'updatedAt'] as const) {
      const where = `/${member}`;
      if (end[member] !== state[member] && !findings.some((each) => each.where === where)) {
        findings.push(finding('row-differs', where, { expected: end[member], actual: state[member] }));
      }
    }
    return findings;
  }

  private compareStates(stored: Buffer, state: SubjectState): Finding[] {
    try {
      const expected = this.check.complete(JSON.parse(stored.toString()) as SubjectState);
      return this.check.places.compare('row-differs', expected, state);
    } catch {
      return [finding('state-unreadable', 'audit_events.state')];
    }
  }

  private tell(id: string, version: number | null, findings: readonly Finding[]): Difference[] {
    return differencesOf({ subject: { type: this.check.type, id }, version, eventId: null }, findings);
  }
}
