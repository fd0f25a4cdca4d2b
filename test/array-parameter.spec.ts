import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type pg from 'pg';
import { arrayParameter } from '../src/database/array-parameter.js';
import { createDatabase, type TestDatabase } from './support/database.js';

let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect();
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

const text = fc
  .oneof(
    fc.constantFrom('', 'NULL', 'null', '{}', '","', '\\', '"', ' a ', 'a,b', '\\x00', "'", 'é\u{1f600}'),
    fc.string({ unit: 'binary' }),
  )
  .filter((each) => each.isWellFormed() && !each.includes('\0'));
const bytes = fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each));

it.each([
  ['text', text],
  ['bytea', bytes],
  ['integer', fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })],
  ['boolean', fc.boolean()],
] as const)('PostgreSQL reads an array of %s as it was written', async (type, element) => {
  const list = fc.array(fc.option<unknown>(element), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(list, async (elements) => {
      const { rows } = await client.query<{ elements: unknown[] }>({
        name: type,
        text: `SELECT $1::${type}[] AS elements`,
        values: [arrayParameter(elements)],
      });
      expect(rows[0]?.elements).toEqual(elements);
    }),
    { numRuns: 200 },
  );
});
