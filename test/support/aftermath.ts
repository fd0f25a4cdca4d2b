import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { runCli } from './cli.js';
import { expectConsistent } from './consistency.js';
import type { TestPostgres } from './postgres.js';
import { eventually } from './process.js';

/** What clients know after a disturbance. */
interface Known {
  readonly url: string;
  /** The access token of an admin. */
  readonly token: string;
  /** Ids of acknowledged orders by their reference. */
  readonly acknowledged: ReadonlyMap<string, string>;
  /** Checkpoints that the log has shown. */
  readonly checkpoints: readonly string[];
  /** Where files may be written. */
  readonly folder: string;
}

/**
 * What must hold after any disturbance: each acknowledged order is there once, and no other; rows and events agree; every
 * event has one leaf; the log verifies from outside and continues every checkpoint that it has shown. Returns the leaves.
 */
export async function expectSettled(
  database: Pick<TestPostgres, 'query' | 'serviceUrl'>,
  { url, token, acknowledged, checkpoints, folder }: Known,
): Promise<number> {
  const orders = await database.query<{ reference: string; id: string }>(
    `SELECT reference, id FROM orders WHERE reference IS NOT NULL ORDER BY reference`,
  );
  const expected = [...acknowledged].map(([reference, id]) => ({ reference, id }));
  expect(orders).toEqual(expected.sort((a, b) => (a.reference < b.reference ? -1 : 1)));
  await expectConsistent(database);

  const leaves = await eventually(async () => {
    const [counts] = await database.query<{ events: number; leaves: number; covered: number }>(
      `SELECT (SELECT count(*)::int FROM audit_events) AS events, (SELECT count(*)::int FROM audit_leaves) AS leaves,
              (SELECT max(size)::int FROM audit_checkpoints) AS covered`,
    );
    expect(counts).toMatchObject({ leaves: counts?.events, covered: counts?.events });
    return counts?.leaves ?? 0;
  });
  // Two of one size are one and the same, whoever has signed them.
  const sizes = checkpoints.map((note) => note.split('\n')[1]);
  expect(new Set(sizes).size).toBe(checkpoints.length);
  const files = checkpoints.map((_, number) => join(folder, `checkpoint-${number}.txt`));
  await Promise.all(files.map((file, number) => writeFile(file, checkpoints[number] ?? '')));
  const key = await (await fetch(`${url}/v1/audit/log/key`)).text();
  const earlier = files.flatMap((file) => ['--checkpoint', file]);
  const verified = await runCli('verify', ['--url', url, '--key', key.trim(), ...earlier], {
    ORDO_TOKEN: token,
  });
  expect(verified).toMatchObject({ code: 0, err: expect.not.stringContaining('wrong') });
  return leaves;
}
