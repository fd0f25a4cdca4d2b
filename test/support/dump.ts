import type { TestDatabase } from './database.js';

/**
 * All that the tables of the database hold, in every schema, as text: also what the planner keeps about them. Bytes
 * stand there as hex and once more decoded.
 */
export async function dumpOf(database: TestDatabase): Promise<string> {
  const client = await database.connect(database.superuserUrl);
  try {
    const { rows: tables } = await client.query<{ name: string }>(
      `SELECT format('%I.%I', nspname, relname) AS name
         FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind IN ('r', 'm') ORDER BY 1`,
    );
    const texts: string[] = [];
    for (const { name } of tables) {
      const { rows } = await client.query<{ text: string }>(
        `SELECT coalesce(string_agg(each::text, E'\\n'), '') AS text FROM ${name} AS each`,
      );
      const text = rows[0]?.text ?? '';
      texts.push(`${name}\n${text}`, ...decoded(text));
    }
    return texts.join('\n');
  } finally {
    await client.end();
  }
}

function decoded(text: string): string[] {
  return [...text.matchAll(/\\x((?:[0-9a-f]{2})+)/g)].map(([, hex = '']) =>
    Buffer.from(hex, 'hex').toString(),
  );
}
