/** One setting of the service: how README shows it and how its text is read. */
export interface Variable<T = unknown> {
  readonly description: string;
  /** As README shows it. */
  readonly default: string;
  readonly secret: boolean;
  /** Takes the variable's text, `undefined` where it is unset; throws `Error` that says what is accepted, never the value. */
  readonly read: (text: string | undefined) => T;
}

interface About<T> {
  description: string;
  /** How README shows the default, where the value alone would not tell. */
  shown?: string;
  default: T;
}

function integer(min: number, max: number, about: About<number>): Variable<number> {
  return {
    description: about.description,
    default: `\`${about.default}\``,
    secret: false,
    read(text) {
      if (text === undefined) return about.default;
      const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
      if (!(value >= min && value <= max)) throw new Error(`must be an integer from ${min} to ${max}`);
      return value;
    },
  };
}

function oneOf<const T extends string>(accepted: readonly T[], about: About<T>): Variable<T> {
  return {
    description: about.description,
    default: `\`${about.default}\``,
    secret: false,
    read(text) {
      if (text === undefined) return about.default;
      const value = accepted.find((candidate) => candidate === text);
      if (value === undefined) throw new Error(`must be one of ${accepted.join(', ')}`);
      return value;
    },
  };
}

function databaseUrl(about: About<undefined>): Variable<string | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: true,
    read(text) {
      if (text === undefined) return undefined;
      const url = URL.canParse(text) ? new URL(text) : undefined;
      if (url?.protocol !== 'postgresql:' && url?.protocol !== 'postgres:') {
        throw new Error('must look like postgresql://user:password@host:5432/database');
      }
      return text;
    },
  };
}

function secret(about: About<undefined>): Variable<string | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: true,
    read(text) {
      if (text !== undefined && text.length < 32) throw new Error('must have at least 32 characters');
      return text;
    },
  };
}

function origins(about: About<readonly string[]>): Variable<readonly string[]> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: false,
    read(text) {
      const list = (text ?? '').split(',').map((origin) => origin.trim());
      const given = list.filter((origin) => origin !== '');
      for (const origin of given) {
        if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
          throw new Error('must be origins as https://shop.example, separated by commas');
        }
      }
      return given;
    },
  };
}

function text(about: About<string | undefined>): Variable<string | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: false,
    read: (value) => value ?? about.default,
  };
}

/** Every variable that Ordo reads. README's table and the type of the configuration come from here. */
export const variables = {
  NODE_ENV: oneOf(['development', 'test', 'production'], {
    description: '`production` refuses to start without a database and the secrets.',
    default: 'development',
  }),
  PORT: integer(0, 65_535, { description: 'Port of the HTTP API; 0 takes a free one.', default: 3000 }),
  HOST: text({
    description: 'Address that the API and the metrics listen on.',
    shown: '`127.0.0.1` with the embedded PostgreSQL, else all addresses',
    default: undefined,
  }),
  METRICS_PORT: integer(0, 65_535, {
    description: 'Port of the Prometheus metrics (`/metrics`); 0 takes a free one.',
    default: 9464,
  }),
  DATABASE_URL: databaseUrl({
    description: 'PostgreSQL 18 of the service; its login is a member of `ordo_service`.',
    shown: 'an embedded PostgreSQL with its data in `.ordo/`',
    default: undefined,
  }),
  MIGRATION_DATABASE_URL: databaseUrl({
    description: 'Login that owns the schema, for `npm run migrate`.',
    shown: '`DATABASE_URL`',
    default: undefined,
  }),
  DATABASE_POOL_SIZE: integer(1, 500, {
    description: 'Connections to PostgreSQL that one process holds at most.',
    default: 10,
  }),
  ORDO_SECRET: secret({
    description: 'At least 32 random characters; cursors and request fingerprints are keyed with it.',
    shown: 'with the embedded PostgreSQL made once and kept in `.ordo/`, else required',
    default: undefined,
  }),
  LOG_LEVEL: oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    description:
      'Least severe level that is logged: `fatal`, `error`, `warn`, `info`, `debug`, `trace`, `silent`.',
    default: 'info',
  }),
  CORS_ORIGINS: origins({
    description: 'Origins whose pages may call the API, separated by commas.',
    shown: 'none',
    default: [],
  }),
  REQUEST_TIMEOUT_MS: integer(100, 600_000, {
    description: 'Milliseconds after which a request is answered with 504.',
    default: 30_000,
  }),
  IDEMPOTENCY_TTL_HOURS: integer(1, 8_760, {
    description: 'Hours for which an idempotency key is remembered.',
    default: 72,
  }),
  SHUTDOWN_DELAY_MS: integer(0, 600_000, {
    description: 'Milliseconds to go on serving, not ready, after SIGTERM before the listener closes.',
    default: 0,
  }),
  SHUTDOWN_TIMEOUT_MS: integer(0, 600_000, {
    description: 'Milliseconds that requests under way have after that to finish.',
    default: 8_000,
  }),
};
