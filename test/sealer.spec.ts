import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type pg from 'pg';
import { DataSource } from 'typeorm';
import { seal } from '../src/audit/sealing/seal.js';
import { dataSourceOptions } from '../src/database/data-source.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { eventRow, insert } from './support/rows.js';

let database: TestDatabase;
let dataSource: DataSource;
beforeAll(async () => {
  database = await createDatabase();
  dataSource = await new DataSource(dataSourceOptions(database.serviceUrl, 4)).initialize();
});
afterAll(async () => {
  await dataSource.destroy();
  await database.drop();
});

async function add(client: pg.Client): Promise<void> {
  const [sql, ...parameters] = insert('audit_events', eventRow('user', randomUUID()));
  await client.query(sql, parameters);
}

const gaps = () => database.query(`SELECT first_seq AS first, last_seq AS last FROM audit_gaps ORDER BY 1`);
const leaves = async () => {
  const rows = await database.query<{ seq: string }>(
    `SELECT event_seq AS seq FROM audit_leaves ORDER BY leaf_index`,
  );
  return rows.map(({ seq }) => Number(seq));
};

it('seals around what is open, and that later', async () => {
  const [a, b] = [await database.connect(), await database.connect()];
  await a.query('BEGIN');
  await add(a);
  await add(b);
  await b.query('BEGIN');
  await add(b);
  await b.query('ROLLBACK');
  await add(b);
  expect(await seal(dataSource)).toEqual({ leaves: 2 });
  expect(await gaps()).toEqual([
    { first: '1', last: '1' },
    { first: '3', last: '3' },
  ]);
  await a.query('COMMIT');
  expect(await seal(dataSource)).toEqual({ leaves: 1 });
  expect([await gaps(), await leaves()]).toEqual([[], [2, 4, 1]]);
});
