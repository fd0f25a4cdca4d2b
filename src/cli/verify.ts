import { readFile } from 'node:fs/promises';
import { readVerifyArguments, VERIFY_HELP, type VerifyArguments } from './log/arguments.js';
import { HttpSource } from './log/http-source.js';
import { Fault, FolderSource, type LogSource, Unusable } from './log/source.js';
import { verifyLog } from './log/verify-log.js';
import { type Progress, showProgress } from './progress.js';
import { runCommand } from './run-command.js';
import { travelsInClear } from './service-url.js';

/** `npm run verify`: checks the audit log of a service, or one that was exported, without the database. */
await runCommand(
  async () => {
    const given = readVerifyArguments(process.argv.slice(2));
    if (given === undefined) console.log(VERIFY_HELP);
    else await verify(given);
  },
  (error) => (error instanceof Fault ? 1 : 2),
);

async function verify({ from, verifiers, checkpoints, entries, credentials }: VerifyArguments) {
  const earlier = await Promise.all(checkpoints.map(readCheckpoint));
  const source: LogSource =
    'folder' in from ? new FolderSource(from.folder) : await HttpSource.at(from.url, credentials);
  if (credentials !== undefined && travelsInClear(source.name)) {
    console.error(`Warning: the ${credentials.kind} goes to ${source.name} unencrypted.`);
  }
  let bar: Progress | undefined;
  const progress = {
    begin: (leaves: number) => (bar = showProgress(leaves)),
    advance: (leaves: number) => bar?.advance(leaves),
  };
  const { head, tiles } = await verifyLog(source, { verifiers, earlier, entries, progress }).finally(() =>
    bar?.stop(),
  );
  console.log(`${head.origin}: ${head.size} leaves, root ${head.root.toString('base64')}`);
  console.log(`The signature, the root and ${tiles} tiles are right.`);
  if (earlier.length > 0) console.log(`It continues ${earlier.length} earlier checkpoint(s).`);
  console.log(
    entries
      ? `Every leaf is that of its entry (${head.size}).`
      : 'Entries were NOT checked (--tiles-only): the tree is whole, what its leaves stand for is not known.',
  );
}

async function readCheckpoint(path: string): Promise<{ name: string; note: string }> {
  try {
    return { name: path, note: await readFile(path, 'utf8') };
  } catch (error) {
    throw new Unusable(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
