import { readFile } from 'node:fs/promises';
import { readVerifyArguments, VERIFY_HELP, type VerifyArguments } from './log/arguments.js';
import { HttpSource } from './log/http-source.js';
import { Fault, FolderSource, type LogSource, Unusable } from './log/source.js';
import { verifyLog } from './log/verify-log.js';
import { type Proven, verifyProof } from './log/verify-proof.js';
import { type Progress, showProgress } from './progress.js';
import { runCommand } from './run-command.js';
import { travelsInClear } from './service-url.js';

/** `npm run verify`: checks the audit log of a service, one that was exported, or a proof, without the database. */
await runCommand(
  async () => {
    const given = readVerifyArguments(process.argv.slice(2));
    if (given === undefined) console.log(VERIFY_HELP);
    else await verify(given);
  },
  (error) => (error instanceof Fault ? 1 : 2),
);

async function verify({ from, ...given }: VerifyArguments): Promise<void> {
  if ('proof' in from) tellProof(verifyProof(await readGiven(from.proof), given.verifiers));
  else if ('folder' in from) await verifyWhole(new FolderSource(from.folder), given);
  else await verifyWhole(await HttpSource.at(from.url, given.credentials), given);
}

function tellProof({ head, index, entry, hasState }: Proven): void {
  const { id, at, action, subject } = entry;
  console.log(
    `${head.origin}: event ${id} is leaf ${index} of ${head.size}. The signature and the proof are right.`,
  );
  console.log(`${at} ${action}${subject.id === null ? '' : ` of ${subject.type} ${subject.id}`}`);
  if (hasState) console.log('The state is the one that the entry commits to.');
}

async function verifyWhole(
  source: LogSource,
  { verifiers, checkpoints, entries, credentials }: Omit<VerifyArguments, 'from'>,
): Promise<void> {
  const earlier = await Promise.all(checkpoints.map(async (name) => ({ name, note: await readGiven(name) })));
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
  console.log(`The signature, the root and all tiles (${tiles}) are right.`);
  if (earlier.length > 0) console.log(`Earlier checkpoints that it continues: ${earlier.length}.`);
  console.log(
    entries
      ? `Every leaf is that of its entry (${head.size}).`
      : 'Entries were NOT checked (--tiles-only): the tree is whole, what its leaves stand for is not known.',
  );
}

async function readGiven(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new Unusable(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
