import { availableParallelism } from 'node:os';
import {
  checkpointSink,
  collector,
  databaseUrl,
  ed25519Keys,
  email,
  integer,
  logName,
  oneOf,
  origins,
  redisUrl,
  secret,
  share,
  text,
} from './variable-kinds.js';

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
  PREPARED_STATEMENTS: oneOf(['on', 'off'], {
    description:
      '`off` behind a PgBouncer in transaction mode that does not keep track of them: before 1.21, or with `max_prepared_statements = 0`.',
    default: 'on',
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
  AUDIT_ORIGIN: logName({
    description: 'Name of the audit log, as its checkpoints and verifier keys show it; for ever the same.',
    shown: '`localhost/ordo/` and eight digits that stay; required in production',
    default: undefined,
  }),
  AUDIT_SIGNING_KEY: ed25519Keys({
    description: 'One or two Ed25519 private keys in PEM that sign the checkpoints of the audit log.',
    shown:
      'with the embedded PostgreSQL made once and kept in `.ordo/`, else derived from `ORDO_SECRET`; required in production',
    default: undefined,
  }),
  AUDIT_CHECKPOINT_SINK: checkpointSink({
    description:
      'Where each checkpoint is kept outside of the database before it is served: a file, or an `https://` address that takes PUT and GET.',
    shown: 'none',
    default: undefined,
  }),
  AUDIT_SEALER: oneOf(['on', 'off'], {
    description: '`off` in a process that shall neither seal events nor sign checkpoints: others do.',
    default: 'on',
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
  OTEL_EXPORTER_OTLP_ENDPOINT: collector({
    description:
      'Base address of a collector that takes traces by OTLP over HTTP, as `http://collector:4318`.',
    shown: 'none: nothing is traced',
    default: undefined,
  }),
  OTEL_TRACES_SAMPLER: oneOf(
    [
      'always_on',
      'always_off',
      'traceidratio',
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
    ],
    {
      description:
        'Which traces are recorded: `always_on`, `always_off`, `traceidratio`, or after `parentbased_` the same for those that no caller has decided on.',
      default: 'parentbased_always_on',
    },
  ),
  OTEL_TRACES_SAMPLER_ARG: share({
    description: 'Share of the traces, 0 to 1, that a sampler with `traceidratio` records.',
    default: 1,
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
  MAX_CONCURRENT_REQUESTS: integer(1, 100_000, {
    description: 'Requests that one process works on at once; more are refused with 503 at once.',
    default: 500,
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
  WORKERS: integer(1, 64, {
    description:
      'Processes that share the port, on Linux and FreeBSD: as many as there are cores to spare. In Kubernetes 1, and more pods.',
    default: 1,
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
