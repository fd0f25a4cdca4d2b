import { type Environment, lookUp } from './config.js';
import { StartupError } from './startup-error.js';

/** What a command-line client signs in with. The text is secret: it belongs in the Authorization header alone. */
export interface Credentials {
  readonly kind: 'API key' | 'access token';
  readonly text: string;
}

/** As the command line gives them; what is not given is absent or undefined. */
export interface CredentialOptions {
  readonly 'api-key'?: string | undefined;
  readonly token?: string | undefined;
}

interface Candidate extends Credentials {
  readonly source: string;
}

const KINDS = [
  { kind: 'API key', option: 'api-key', variable: 'ORDO_API_KEY' },
  { kind: 'access token', option: 'token', variable: 'ORDO_TOKEN' },
] as const;

/** RFC 6750: what can stand behind `Bearer`. Anything else, fetch would quote in its error. */
const BEARER_TOKEN = /^[\w.~+/-]+=*$/;

/**
 * The credentials on the command line, or else in the environment; undefined when there are none. Throws
 * `StartupError`, in one line, for both kinds at once and for what cannot be read; it never quotes a value.
 */
export function readCredentials(
  options: CredentialOptions,
  environment: Environment = process.env,
): Credentials | undefined {
  return (
    choose(KINDS.map(({ kind, option }) => ({ kind, source: `--${option}`, text: options[option] }))) ??
    choose(KINDS.map(({ kind, variable }) => ({ kind, source: variable, text: read(environment, variable) })))
  );
}

function choose(candidates: (Omit<Candidate, 'text'> & { text: string | undefined })[]) {
  const [first, second] = candidates.filter((each): each is Candidate => each.text !== undefined);
  if (first === undefined) return undefined;
  const { kind, source, text } = first;
  if (second !== undefined) throw new StartupError(`${source} and ${second.source} are both set: give one.`);
  if (!BEARER_TOKEN.test(text)) throw new StartupError(`${source} is no ${kind}: check how it was copied.`);
  return { kind, text };
}

function read(environment: Environment, variable: string): string | undefined {
  try {
    return lookUp(environment, variable)?.trim() || undefined;
  } catch (error) {
    throw new StartupError(`${variable} ${error instanceof Error ? error.message : 'cannot be read'}`);
  }
}
