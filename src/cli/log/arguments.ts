import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { parseVerifier, type Verifier } from '../../audit/log/note.js';
import { type Credentials, readCredentials } from '../../config/client-credentials.js';
import { readUrl } from '../service-url.js';

const SIGN_IN = `The service gives entries to auditors only, who sign in with one of these; the command line wins, but shows what it holds:
  ORDO_API_KEY or --api-key   an API key with the scope audit:read
  ORDO_TOKEN or --token       the access token of an auditor or admin, which lives ten minutes
  ORDO_API_KEY_FILE, ORDO_TOKEN_FILE
                              the path of a file that holds it`;

const VERIFY_USAGE =
  'Usage: npm run verify -- (--url URL | --dir DIR) --key VERIFIERKEY [--checkpoint FILE]... [--tiles-only]\n' +
  '       npm run verify -- --proof FILE --key VERIFIERKEY';
export const VERIFY_HELP = `${VERIFY_USAGE}

Computes the audit log anew and compares every leaf, tile, root and signature with what the log says; or checks the proof
of one event, for which nothing is asked of anybody.
  --url URL          the service, or wherever an exported log is served
  --dir DIR          a folder that npm run export-log has written; nothing is asked of anybody then
  --proof FILE       what /v1/audit/events/{id}/proof has answered, as text or as JSON
  --key VERIFIERKEY  who vouches for the log, as name+id+key; have it from elsewhere than the log. Several may be given
  --checkpoint FILE  a checkpoint that was kept: the log must continue it. Several may be given
  --tiles-only       check the tree, but not that its leaves are those of the entries

Exits with 0 when all is well, with 1 when the log or the proof is not what it claims to be, which names the first leaf,
tile, checkpoint or signature that is wrong, and with 2 when nothing could be found out.

${SIGN_IN}`;

const EXPORT_USAGE =
  'Usage: npm run export-log -- DIR [--url http://localhost:3000] [--tiles-only] [--api-key KEY | --token TOKEN]';
export const EXPORT_HELP = `${EXPORT_USAGE}

Writes the audit log to files that any web server can serve to clients of c2sp.org/tlog-tiles. Into a folder that has an
earlier export, only what is new is written. npm run verify -- --dir DIR checks the result.
  --tiles-only       leave out the entries

${SIGN_IN}`;

const CREDENTIALS = {
  'api-key': { type: 'string' },
  token: { type: 'string' },
  'tiles-only': { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const satisfies ParseArgsOptionsConfig;

export interface VerifyArguments {
  readonly from: { readonly url: string } | { readonly folder: string } | { readonly proof: string };
  readonly verifiers: readonly Verifier[];
  readonly checkpoints: readonly string[];
  readonly entries: boolean;
  readonly credentials: Credentials | undefined;
}

/** What `verify` is asked for; undefined when it is asked for help. Throws an error that says what is wrong. */
export function readVerifyArguments(argv: string[]): VerifyArguments | undefined {
  return readingFor(VERIFY_USAGE, () => {
    const { values } = parseArgs({
      args: argv,
      options: {
        ...CREDENTIALS,
        url: { type: 'string' },
        dir: { type: 'string' },
        proof: { type: 'string' },
        key: { type: 'string', multiple: true, default: [] },
        checkpoint: { type: 'string', multiple: true, default: [] },
      },
    });
    if (values.help) return undefined;
    const from = readOrigin(values);
    if (values.key.length === 0) throw new Error('Give the --key of who vouches for the log.');
    if ('proof' in from && (values.checkpoint.length > 0 || values['tiles-only'])) {
      throw new Error('With --proof there are neither tiles nor other checkpoints.');
    }
    return {
      from,
      verifiers: values.key.map(parseVerifier),
      checkpoints: values.checkpoint,
      entries: !values['tiles-only'],
      credentials: 'url' in from ? readCredentials(values) : undefined,
    };
  });
}

function readOrigin({ url, dir, proof }: Partial<Record<'url' | 'dir' | 'proof', string>>) {
  if ([url, dir, proof].filter((each) => each !== undefined).length === 1) {
    if (url !== undefined) return { url: readUrl(url) };
    if (dir !== undefined) return { folder: dir };
    if (proof !== undefined) return { proof };
  }
  throw new Error('Give one of --url, --dir and --proof.');
}

export interface ExportArguments {
  readonly folder: string;
  readonly url: string;
  readonly entries: boolean;
  readonly credentials: Credentials | undefined;
}

/** What `export-log` is asked for, as in {@link readVerifyArguments}. */
export function readExportArguments(argv: string[]): ExportArguments | undefined {
  return readingFor(EXPORT_USAGE, () => {
    const { values, positionals } = parseArgs({
      args: argv,
      allowPositionals: true,
      options: { ...CREDENTIALS, url: { type: 'string', default: 'http://localhost:3000' } },
    });
    if (values.help) return undefined;
    const [folder, ...more] = positionals;
    if (folder === undefined || more.length > 0) throw new Error('Give one folder to write to.');
    const entries = !values['tiles-only'];
    return { folder, url: readUrl(values.url), entries, credentials: readCredentials(values) };
  });
}

function readingFor<T>(usage: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${usage}`, { cause: error });
  }
}
