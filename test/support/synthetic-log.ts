import { randomUUID } from 'node:crypto';
import { DataSource } from 'typeorm';
import { formatTreeHead } from '../../src/audit/log/checkpoint.js';
import { formatVerifier, signNote } from '../../src/audit/log/note.js';
import { storedRoots, storedSize } from '../../src/audit/log/stored-tree.js';
import { foldRoots, nodesOfRoot } from '../../src/audit/log/tree.js';
import { LogIdentity } from '../../src/audit/log-identity.js';
import { BATCH, seal } from '../../src/audit/sealing/seal.js';
import { extendSubtrees } from '../../src/audit/sealing/subtrees.js';
import { addEvents } from './log.js';
import type { TestService } from './service.js';

/** Adds events that are none of the service's, gives leaves to all and publishes a checkpoint, which it returns. */
export async function growLog(service: TestService, events: number): Promise<string> {
  await addEvents(await service.database.connect(), events);
  await sealAll(service);
  return publish(service);
}

/** Gives a leaf to every event; publishes nothing. */
export async function sealAll({ app }: Pick<TestService, 'app'>): Promise<void> {
  const dataSource = app.get(DataSource);
  for (;;) {
    const sealed = await seal(dataSource);
    if (sealed !== 'busy' && sealed.leaves < BATCH) break;
  }
}

/** Adds leaves without events, so that a large tree is quickly there, and publishes a checkpoint, which it returns. */
export async function addLeaves(service: TestService, count: number): Promise<string> {
  const dataSource = service.app.get(DataSource);
  const size = await storedSize(dataSource.manager);
  const rows = await service.database
    .query<{ hash: Buffer }>(
      `SET session_replication_role = replica;
     INSERT INTO audit_leaves (leaf_index, event_seq, hash)
     SELECT ${size} + n, 1000000000 + ${size} + n, sha256(convert_to('${randomUUID()}' || n, 'UTF8'))
       FROM generate_series(0, ${count - 1}) AS n`,
    )
    .then(() =>
      service.database.query<{ hash: Buffer }>(
        'SELECT hash FROM audit_leaves WHERE leaf_index >= $1 ORDER BY leaf_index',
        [size],
      ),
    );
  await dataSource.transaction(async (tx) => {
    await tx.query('SET LOCAL ROLE ordo_sealer');
    await extendSubtrees(
      tx,
      size,
      rows.map(({ hash }) => hash),
    );
  });
  return publish(service);
}

/** Signs the tree as the database has it with the service's keys, whatever was done to it, and publishes that. */
export async function publish(service: TestService): Promise<string> {
  const { manager } = service.app.get(DataSource);
  const { origin, signers } = service.app.get(LogIdentity);
  const size = await storedSize(manager);
  const root = foldRoots(await storedRoots(manager, nodesOfRoot(size)));
  const note = signNote(formatTreeHead({ origin, size, root }), signers);
  await service.database.query(
    `INSERT INTO audit_checkpoints (origin, size, root, note) VALUES ($1, $2, $3, $4)
       ON CONFLICT DO NOTHING`,
    [origin, size, root, note],
  );
  return note;
}

/** The verifier key of the service's log. */
export function verifierKey(service: TestService): string {
  return service.app.get(LogIdentity).verifiers.map(formatVerifier).join();
}
