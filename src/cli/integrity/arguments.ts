import { parseArgs } from 'node:util';
import {
  type CredentialOptions,
  type Credentials,
  readCredentials,
} from '../../config/client-credentials.js';
import type { Purpose } from '../import/refused.js';
import { readUrl } from '../service-url.js';

export const CHECK: Purpose = {
  scopes: ['audit:read'],
  takes: 'checking takes an auditor or admin',
  suits: 'checks',
};

const USAGE =
  'Usage: npm run integrity -- [--api-key KEY | --token TOKEN] [--url http://localhost:3000] [--json]';
const HOW_TO_GET_A_KEY = `POST /v1/api-keys {"name": "integrity", "scopes": ${JSON.stringify(CHECK.scopes)}}`;
export const HELP = `${USAGE}

Checks through the HTTP API that all rows, ledgers, events and the log agree, and names every difference on standard
output, one a line; with --json each is the object that the API answers. Exits with 0 when there is none, with 1 when
there is, and with 2 when not everything could be checked.

Signs in with one of these. The command line wins over the environment, but shows what it holds: to everybody on the
machine, and in what npm prints.
  ORDO_API_KEY or --api-key   an API key with the scope ${CHECK.scopes.join()}; an admin makes one:
                              ${HOW_TO_GET_A_KEY}
  ORDO_TOKEN or --token       the access token of an auditor or admin; it lives ten minutes
  ORDO_API_KEY_FILE, ORDO_TOKEN_FILE
                              the path of a file that holds it`;

export interface Arguments {
  /** Without a slash at its end. */
  readonly url: string;
  readonly json: boolean;
  readonly credentials: Credentials;
}

/** What the command line asks for; undefined for help. Throws an error that says what is wrong, without credentials. */
export function readArguments(argv: string[]): Arguments | undefined {
  const { help, options, ...given } = parse(argv);
  if (help) return undefined;
  const credentials = readCredentials(options);
  if (credentials !== undefined) return { ...given, credentials };
  throw new Error(
    `Set ORDO_API_KEY or give --api-key (or ORDO_TOKEN, --token); an admin makes a key with ${HOW_TO_GET_A_KEY}.`,
  );
}

function parse(
  argv: string[],
): Omit<Arguments, 'credentials'> & { help: boolean; options: CredentialOptions } {
  try {
    const { values } = parseArgs({
      args: argv,
      options: {
        'api-key': { type: 'string' },
        token: { type: 'string' },
        url: { type: 'string', default: 'http://localhost:3000' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    return { url: readUrl(values.url), json: values.json, help: values.help, options: values };
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`, { cause: error });
  }
}
