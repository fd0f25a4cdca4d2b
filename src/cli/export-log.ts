import { EXPORT_HELP, type ExportArguments, readExportArguments } from './log/arguments.js';
import { exportLog } from './log/export-log.js';
import { HttpSource } from './log/http-source.js';
import { Fault } from './log/source.js';
import { type Progress, showProgress } from './progress.js';
import { runCommand } from './run-command.js';
import { travelsInClear } from './service-url.js';

/** `npm run export-log`: writes the audit log to files that a web server can serve and `npm run verify` can check. */
await runCommand(
  async () => {
    const given = readExportArguments(process.argv.slice(2));
    if (given === undefined) console.log(EXPORT_HELP);
    else await exportTo(given);
  },
  (error) => (error instanceof Fault ? 1 : 2),
);

async function exportTo({ folder, url, entries, credentials }: ExportArguments): Promise<void> {
  const source = await HttpSource.at(url, credentials);
  if (credentials !== undefined && travelsInClear(url)) {
    console.error(`Warning: the ${credentials.kind} goes to ${url} unencrypted.`);
  }
  let bar: Progress | undefined;
  const progress = {
    begin: (tiles: number) => (bar = showProgress(tiles)),
    advance: (tiles: number) => bar?.advance(tiles),
  };
  const exported = await exportLog(source, folder, entries, progress).finally(() => bar?.stop());
  const { head, written, kept } = exported;
  console.log(`${head.origin}: ${head.size} leaves in ${folder}, ${written} files written, ${kept} kept.`);
  if (!entries) console.log('Entries were left out (--tiles-only).');
}
