import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect } from '@jest/globals';
import type { TestService } from './service.js';

const COMMAND = fileURLToPath(new URL('../../dist/src/cli/import.js', import.meta.url));

/** Orders to look at, which come with the service. */
export const SAMPLE = fileURLToPath(new URL('../../examples/orders.ndjson', import.meta.url));
/** What an API key needs for an import. */
export const IMPORT_SCOPES = ['orders:write', 'users:read', 'users:write'];

export type Environment = Record<string, string>;

interface Run {
  readonly child: ChildProcess;
  readonly done: Promise<{ code: number | null; output: string; errors: string[] }>;
}

/** Starts the command, which must never say what is in its environment or behind `--token`. */
export function startImport(parameters: string[], environment: Environment): Run {
  const child = spawn(process.execPath, [COMMAND, ...parameters], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = new Promise<number | null>((resolve) => void child.once('close', resolve));
  const done = Promise.all([end, text(child.stdout), text(child.stderr)]).then(([code, output, errors]) => {
    const secrets = [
      ...Object.values(environment),
      ...parameters.filter((_, at) => parameters[at - 1] === '--token'),
    ];
    for (const secret of secrets) expect(output + errors).not.toContain(secret);
    return { code, output: output.trim(), errors: errors.split('\n').filter((line) => line !== '') };
  });
  return { child, done };
}

/** What the command says when it ends. */
export function summary({ placed = 0, replayed = 0, skipped = 0, failed = 0, users = 0 }): string {
  return `Orders: ${placed} placed, ${replayed} replayed, ${skipped} skipped, ${failed} failed. Users created: ${users}.`;
}

type NewLine = object | string | Buffer;

/** Files to import, in a folder of their own. */
export class ImportFiles {
  private constructor(readonly folder: string) {}

  static async create(): Promise<ImportFiles> {
    return new ImportFiles(await mkdtemp(join(tmpdir(), 'ordo-import-')));
  }

  async write(content: string | Buffer): Promise<string> {
    const file = join(this.folder, `${crypto.randomUUID()}.ndjson`);
    await writeFile(file, content);
    return file;
  }

  async writeLines(lines: readonly NewLine[]): Promise<string> {
    const bytes = lines.map((line) =>
      Buffer.isBuffer(line) ? line : Buffer.from(typeof line === 'string' ? line : JSON.stringify(line)),
    );
    return this.write(Buffer.concat(bytes.flatMap((line) => [line, Buffer.from('\n')])));
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}

/** An order of a customer at this domain: of one of three, unless others are given. */
export function importedOrder(domain: string, number: number, members: object = {}): object {
  return {
    reference: `R-${number}`,
    placedAt: '2026-01-01T00:00:00.000Z',
    customer: { email: `customer${number % 3}@${domain}`, name: 'Somebody Secret' },
    currency: 'EUR',
    lines: [{ sku: 'TEA', name: 'Tea', quantity: number, unitPrice: 100 }],
    ...members,
  };
}

export interface RowCounts {
  users: number;
  orders: number;
  lines: number;
  events: number;
}

async function countRows(service: TestService): Promise<RowCounts> {
  const [counts] = await service.database.query<RowCounts & Record<string, unknown>>(
    `SELECT (SELECT count(*)::int FROM users) AS users, (SELECT count(*)::int FROM orders) AS orders,
            (SELECT count(*)::int FROM order_lines) AS lines, (SELECT count(*)::int FROM audit_events) AS events`,
  );
  if (counts === undefined) throw new Error('No counts');
  return counts;
}

/** Remembers how many rows there are, and returns a function that answers how many were added since. */
export async function countAddedRows(service: TestService): Promise<() => Promise<RowCounts>> {
  const before = await countRows(service);
  return async () => {
    const now = await countRows(service);
    return {
      users: now.users - before.users,
      orders: now.orders - before.orders,
      lines: now.lines - before.lines,
      events: now.events - before.events,
    };
  };
}
