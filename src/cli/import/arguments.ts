import { parseArgs } from 'node:util';
import {
  type CredentialOptions,
  type Credentials,
  readCredentials,
} from '../../config/client-credentials.js';
import type { Environment } from '../../config/config.js';
import { readUrl } from '../service-url.js';
import { IMPORT } from './refused.js';

const SCOPES = IMPORT.scopes;

const MOST_AT_ONCE = 64;

const USAGE =
  'Usage: npm run import -- FILE [--api-key KEY | --token TOKEN] [--url http://localhost:3000] [--concurrency 4] [--add-references]';
const HOW_TO_GET_A_KEY = `POST /v1/api-keys {"name": "import", "scopes": ${JSON.stringify(SCOPES)}}`;
export const HELP = `${USAGE}

Places the orders of an NDJSON file, one object a line, as an export has them:
  {reference?, placedAt?, customer: {email, name}, currency, shipping?, lines, note?, metadata?}
Customers are found by their e-mail address, or created. Other members are ignored: an order that is imported is placed
and nothing more, whatever had become of it elsewhere, and gets an id and amounts of its own, which are the same.

Importing a file again places nothing twice: an order is known by its customer and reference, or without a reference by
all that it says (so two equal ones are one, unless an export gives them two ids). Those without a reference are known
only to the key or user who placed them, for as long as the service keeps idempotency keys (72 hours, unless it is set
otherwise). With --add-references they get one that follows from what they say, and are known for ever to everybody who
imports them with --add-references: use it from the first time on, for an order that was imported without it is placed
again.

Up to 100 orders go in one request, and up to --concurrency requests at once (1 to ${MOST_AT_ONCE}).

At the end it counts the orders: placed now; replayed, as their requests were sent before; skipped, as the customer has an
order with this reference whose request is forgotten; failed, each of which was told by its line.

Signs in with one of these. The command line wins over the environment, but shows what it holds: to everybody on the
machine, and in what npm prints.
  ORDO_API_KEY or --api-key   an API key with the scopes ${SCOPES.join(', ')}; an admin makes one:
                              ${HOW_TO_GET_A_KEY}
  ORDO_TOKEN or --token       the access token of an admin, as POST /v1/auth/login answers it; it lives ten minutes
  ORDO_API_KEY_FILE, ORDO_TOKEN_FILE
                              the path of a file that holds it`;

export interface Arguments {
  readonly file: string;
  /** Without a slash at its end. */
  readonly url: string;
  /** Requests at once. */
  readonly concurrency: number;
  /** Whether orders without a reference get one. */
  readonly addReferences: boolean;
  readonly credentials: Credentials;
}

interface Given extends Omit<Arguments, 'credentials'> {
  readonly options: CredentialOptions;
}

/**
 * What the command line asks for, and with which credentials; undefined when it asks for help. Throws an error that
 * says what is wrong, without any credentials.
 */
export function readArguments(argv: string[], environment?: Environment): Arguments | undefined {
  const given = parse(argv);
  if (given === undefined) return undefined;
  const { options, ...rest } = given;
  const credentials = readCredentials(options, environment);
  if (credentials === undefined) {
    throw new Error(
      `Set ORDO_API_KEY or give --api-key (or ORDO_TOKEN, --token); an admin makes a key with ${HOW_TO_GET_A_KEY}.`,
    );
  }
  return { ...rest, credentials };
}

function parse(argv: string[]): Given | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        'api-key': { type: 'string' },
        token: { type: 'string' },
        url: { type: 'string', default: 'http://localhost:3000' },
        concurrency: { type: 'string', default: '4' },
        'add-references': { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) return undefined;
    const [file, ...more] = positionals;
    if (file === undefined || more.length > 0) throw new Error('Give one file to import.');
    const concurrency = Number(values.concurrency);
    if (!/^\d+$/.test(values.concurrency) || concurrency < 1 || concurrency > MOST_AT_ONCE) {
      throw new Error(`--concurrency must be an integer from 1 to ${MOST_AT_ONCE}.`);
    }
    const addReferences = values['add-references'];
    return { file, url: readUrl(values.url), concurrency, addReferences, options: values };
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`, { cause: error });
  }
}
