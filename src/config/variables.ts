import { createPrivateKey, type KeyObject } from 'node:crypto';
import { availableParallelism } from 'node:os';

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
    default: about.shown ?? `\`${about.default}\``,
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

function redisUrl(about: About<undefined>): Variable<string | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: true,
    read(text) {
      if (text === undefined) return undefined;
      const url = URL.canParse(text) ? new URL(text) : undefined;
      const isRedis = url?.protocol === 'redis:' || url?.protocol === 'rediss:';
      if (!isRedis || !/^(\/\d*)?$/.test(url.pathname)) {
        throw new Error('must look like redis://user:password@host:6379/0, or rediss:// for TLS');
      }
      return text;
    },
  };
}

function secret(minLength: number, about: About<undefined>): Variable<string | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: true,
    read(text) {
      if (text !== undefined && text.length < minLength) {
        throw new Error(`must have at least ${minLength} characters`);
      }
      return text;
    },
  };
}

function ed25519Keys(about: About<undefined>): Variable<readonly KeyObject[] | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: true,
    read(text) {
      if (text === undefined) return undefined;
      const blocks = text.match(/-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/g) ?? [];
      const keys = blocks.map(privateKey);
      if (keys.length < 1 || keys.length > 2 || keys.some((key) => key?.asymmetricKeyType !== 'ed25519')) {
        throw new Error(
          'must be one or two Ed25519 private keys in PEM (openssl genpkey -algorithm ed25519)',
        );
      }
      return keys.filter((key) => key !== undefined);
    },
  };
}

function privateKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
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

function email(about: About<string>): Variable<string> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: false,
    read(text) {
      // As roughly as it takes to catch a slip: users are created under the rules of the API.
      if (text !== undefined && !/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(text))
        throw new Error('must be an e-mail address');
      return text ?? about.default;
    },
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
    description:
      'Connections to PostgreSQL that one process holds at most, beside one for each export under way.',
    default: 10,
  }),
  ORDO_SECRET: secret(32, {
    description:
      'At least 32 random characters; the keys of cursors, request fingerprints, refresh tokens and counters are derived from it.',
    shown: 'with the embedded PostgreSQL made once and kept in `.ordo/`, else required',
    default: undefined,
  }),
  JWT_KEYS: ed25519Keys({
    description:
      'One or two Ed25519 private keys in PEM: the first signs access tokens, both are accepted and published at `/.well-known/jwks.json`.',
    shown: 'derived from `ORDO_SECRET`; required in production',
    default: undefined,
  }),
  ADMIN_EMAIL: email({
    description: 'E-mail address of the first admin, who is created where there is none.',
    shown: '`admin@example.com`',
    default: 'admin@example.com',
  }),
  ADMIN_PASSWORD: secret(12, {
    description:
      'Password of the first admin, 12 to 128 characters; not looked at once that admin has a password.',
    shown: 'made and printed once; in production nobody is created without it',
    default: undefined,
  }),
  ARGON2_CONCURRENCY: integer(1, 64, {
    description: 'Passwords that are hashed or checked at once (19 MiB each); more wait in a bounded queue.',
    shown: 'cores - 1, at least 1',
    default: Math.max(1, availableParallelism() - 1),
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
  TRUST_PROXY: integer(0, 10, {
    description:
      'How many proxies in front add to `X-Forwarded-For`; the address of the caller is the one that the outermost saw.',
    default: 0,
  }),
  RATE_LIMIT: integer(1, 1_000_000, {
    description: 'Requests that one caller may send in a minute.',
    default: 6_000,
  }),
  REDIS_URL: redisUrl({
    description: 'Redis in which all replicas count requests and attempts together.',
    shown: 'each process counts for itself',
    default: undefined,
  }),
  REQUEST_TIMEOUT_MS: integer(100, 600_000, {
    description: 'Milliseconds after which a request is answered with 504.',
    default: 30_000,
  }),
  EXPORT_STALL_TIMEOUT_MS: integer(100, 600_000, {
    description: 'Milliseconds after which an export is broken off whose client takes nothing.',
    default: 120_000,
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
