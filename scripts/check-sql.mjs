// Holds every raw SQL text of src/ against the migrated schema, in a PostgreSQL of its own: what names a column, table
// or function that there is not, compares what cannot be compared, or may not be run by the service is an error here.
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import ts from 'typescript';
import { DataSource } from 'typeorm';
import { grantServiceRole, startEmbeddedDatabase } from '../dist/src/database/embedded/embedded-database.js';
import { dataSourceOptions } from '../dist/src/database/data-source.js';
import { migrate } from '../dist/src/database/migrate.js';
import { composers } from './composed-sql.mjs';
import { findTexts } from './sql-texts.mjs';

/** What only hands on the texts of others. */
const carriers = ['src/database/snapshot.ts', 'src/database/statement.ts'];
/** What has been run, by a superuser, when this check has its database. */
const bootstrap = 'src/database/embedded/bootstrap.ts';
const fixture = 'scripts/misspelt-sql.ts';
/** Fewer texts than this cannot be all. */
const LEAST = 75;

process.chdir(join(import.meta.dirname, '..'));
const sources = ts.sys.readDirectory('src', ['.ts']).filter((file) => file !== bootstrap);
const complaints = await withDatabase(async (dataSource) => {
  await proveThatItComplains(dataSource);
  const texts = findTexts(sources);
  const { ran, failures } = await compose(dataSource);
  const composed = texts.filter(({ text }) => text === undefined);
  const known = texts.length - composed.length;
  console.log(`${known} texts, and ${composed.length} that are composed at run time`);
  // Of what a failed composer would have run later, nobody knows.
  const hasFailed = (place) => place.text === undefined && failures.some(({ file }) => file === place.file);
  return [
    ...(await complaintsOf(
      dataSource,
      texts.filter((place) => !hasFailed(place)),
      ran,
    )),
    ...failures.map((failure) =>
      complaintOf({ ...composed.find((place) => isOf(place, failure)), ...failure }),
    ),
    ...[...carriers, ...Object.keys(composers)]
      .filter((listed) => !composed.some(({ file }) => file === listed))
      .map((file) => `${file}: is listed, but composes no SQL`),
    ...(known < LEAST ? [`Only ${known} texts were found: there were ${LEAST} at least`] : []),
  ];
});
for (const complaint of complaints) console.error(complaint);
process.exitCode = complaints.length > 0 ? 1 : 0;

async function withDatabase(work) {
  const folder = await mkdtemp(join(tmpdir(), 'ordo-check-'));
  // As root the server runs as another user, who has to get in.
  await chmod(folder, 0o755);
  const server = await startEmbeddedDatabase(folder, { durable: false });
  try {
    await migrate(server.ownerUrl);
    await grantServiceRole(server);
    const options = { ...dataSourceOptions(server.serviceUrl, 2), entities: ['dist/src/**/*.entity.js'] };
    const dataSource = await new DataSource(options).initialize();
    return await work(dataSource).finally(() => dataSource.destroy());
  } finally {
    await server.stop();
    await rm(folder, { recursive: true });
  }
}

/** Throws unless what the fixture says of its own lines is complained of, and no more: the check would find nothing. */
async function proveThatItComplains(dataSource) {
  const lines = (await readFile(fixture, 'utf8')).split('\n');
  const expected = lines.flatMap((line, index) => {
    const [, message] = / \/\/ (.*)$/.exec(line) ?? [];
    return message === undefined ? [] : [`${fixture}:${index + 1}: ${message}`];
  });
  const complaints = await complaintsOf(dataSource, findTexts([fixture]), []);
  const found = complaints.map((complaint) => complaint.split('\n')[0]);
  if (expected.length === 0 || expected.join('\n') !== found.join('\n')) {
    throw new Error(`The check should say\n${expected.join('\n')}\nbut says\n${found.join('\n')}`);
  }
}

async function complaintsOf(dataSource, texts, ran) {
  const complaints = [];
  for (const place of texts) {
    const message = place.text === undefined ? unseen(place, ran) : await wrong(dataSource, place);
    if (message !== undefined) complaints.push(complaintOf({ ...place, message }));
  }
  return complaints;
}

function complaintOf({ file, line = 1, start = '', message }) {
  return `${file}:${line}: ${message}\n  ${start}`;
}

function unseen(place, ran) {
  const isRun = carriers.includes(place.file) || ran.some((each) => isOf(place, each));
  return isRun ? undefined : 'is composed at run time, but not run by scripts/composed-sql.mjs';
}

/** Whether a text that a composer has run can be what the place comes to. */
function isOf({ file, pattern }, ran) {
  return file === ran.file && pattern.test(ran.text);
}

async function wrong(dataSource, { text, values }) {
  const parameters = Math.max(0, ...Array.from(text.matchAll(/\$(\d+)/g), ([, number]) => Number(number)));
  const message = await explain(dataSource, text);
  if (message !== undefined || values === undefined || values === parameters) return message;
  return `has parameters up to $${parameters}, but ${values} values`;
}

/** What PostgreSQL has against a text, be it run by the service or by the sealer; undefined if nothing. */
async function explain(dataSource, text, role = 'ordo_app') {
  const isPlanned = /^\s*(?:SELECT|INSERT|UPDATE|DELETE|MERGE|WITH)\s/.test(text);
  const message = await rolledBack(dataSource, async (tx) => {
    await tx.query(`SET LOCAL ROLE ${role}`);
    // Unlike PREPARE it also looks whether the role may.
    await tx.query(isPlanned ? `EXPLAIN (GENERIC_PLAN) ${text}` : text);
  });
  return message?.startsWith('permission denied') && role === 'ordo_app'
    ? explain(dataSource, text, 'ordo_sealer')
    : message;
}

/** Runs all composers: the texts that each has run, by its file, and those that failed. */
async function compose(dataSource) {
  const { query } = pg.Client.prototype;
  const [ran, failures] = [[], []];
  for (const [file, composer] of Object.entries(composers)) {
    pg.Client.prototype.query = function (config, ...rest) {
      ran.push({ file, text: config.text ?? config });
      return query.call(this, config, ...rest);
    };
    const message = await rolledBack(dataSource, composer);
    // The last one is the rollback.
    if (message !== undefined) failures.push({ ...ran.at(-2), message });
  }
  pg.Client.prototype.query = query;
  return { ran, failures };
}

/** Runs `work` in a transaction that leaves nothing behind; answers what it failed with, if it did. */
async function rolledBack(dataSource, work) {
  const runner = dataSource.createQueryRunner();
  try {
    await runner.startTransaction();
    await work(runner.manager);
    return undefined;
  } catch (error) {
    return error.message;
  } finally {
    await runner.rollbackTransaction().catch(() => undefined);
    await runner.release();
  }
}
