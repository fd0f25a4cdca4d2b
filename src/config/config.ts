import { readFileSync } from 'node:fs';
import { StartupError } from './startup-error.js';
import type { Variable } from './variable-kinds.js';
import { variables } from './variables.js';

type Variables = typeof variables;

/** The value of every variable, by its name. */
export type Config = { [Name in keyof Variables]: ReturnType<Variables[Name]['read']> };

/** What the running service needs: a configuration in which nothing is missing any more. */
export type ServiceConfig = Config & { DATABASE_URL: string; ORDO_SECRET: string };

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Takes the environment (`process.env`) and returns the typed configuration; for the `service` nothing that it needs may
 * be missing, a `migration` needs no secrets. Throws `StartupError` that names every variable that is wrong, never a
 * value.
 */
export function readConfig(
  environment: Environment = process.env,
  purpose: 'service' | 'migration' = 'service',
): Config {
  const faults: string[] = [];
  const entries = Object.entries<Variable>(variables).map(([name, variable]) => {
    try {
      return [name, variable.read(lookUp(environment, name))];
    } catch (error) {
      faults.push(`${name} ${error instanceof Error ? error.message : 'cannot be read'}`);
      return [name, undefined];
    }
  });
  const config = Object.fromEntries(entries) as Config;
  if (faults.length === 0 && purpose === 'service') faults.push(...missing(config));
  if (faults.length > 0) throw new StartupError(faults.join('; '));
  return config;
}

function missing(config: Config): string[] {
  const isProduction = config.NODE_ENV === 'production';
  const faults = [];
  if (isProduction && config.DATABASE_URL === undefined) {
    faults.push('DATABASE_URL must be set when NODE_ENV is production');
  }
  if ((isProduction || config.DATABASE_URL !== undefined) && config.ORDO_SECRET === undefined) {
    faults.push('ORDO_SECRET must be set when DATABASE_URL is');
  }
  for (const name of ['JWT_KEYS', 'AUDIT_SIGNING_KEY', 'AUDIT_ORIGIN'] as const) {
    if (isProduction && config[name] === undefined) {
      faults.push(`${name} must be set when NODE_ENV is production`);
    }
  }
  return faults;
}

/** `X`, or the content of the file that `X_FILE` names; empty counts as unset. Throws `Error` without any value. */
export function lookUp(environment: Environment, name: string): string | undefined {
  const direct = environment[name] || undefined;
  const file = environment[`${name}_FILE`] || undefined;
  if (file === undefined) return direct;
  if (direct !== undefined) throw new Error(`and ${name}_FILE are both set`);
  try {
    return readFileSync(file, 'utf8').trim() || undefined;
  } catch {
    throw new Error(`cannot be read from the file that ${name}_FILE names`);
  }
}
