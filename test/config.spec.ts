import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isKeyName } from '../src/audit/log/note.js';
import { readConfig } from '../src/config/config.js';
import { StartupError } from '../src/config/startup-error.js';

const SECRET = '0123456789abcdef0123456789abcdef';
const DATABASE_URL = 'postgresql://ordo:canary-password@db.example:5432/ordo';

const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();
const publicPem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString();
const keyPair = () => generateKeyPairSync('ed25519');
const JWT_KEYS = pem(keyPair().privateKey);

function fault(environment: Record<string, string>): string {
  try {
    readConfig(environment);
  } catch (error) {
    if (error instanceof StartupError) return error.message;
    throw error;
  }
  throw new Error('The configuration was accepted');
}

describe('the configuration', () => {
  it('needs nothing', () => {
    expect(readConfig({})).toMatchObject({ PORT: 3000, NODE_ENV: 'development', DATABASE_URL: undefined });
  });

  it('counts an empty variable as unset', () => {
    expect(readConfig({ PORT: '', DATABASE_URL: '' })).toMatchObject({ PORT: 3000, DATABASE_URL: undefined });
  });

  it('takes a collector by its base address alone, and a share of the traces', () => {
    const OTEL_EXPORTER_OTLP_ENDPOINT = 'https://collector.example/otlp';
    const config = readConfig({ OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER_ARG: '0.25' });
    expect(config.OTEL_EXPORTER_OTLP_ENDPOINT?.href).toBe(OTEL_EXPORTER_OTLP_ENDPOINT);
    expect(config.OTEL_TRACES_SAMPLER_ARG).toBe(0.25);
    for (const wrong of [
      'collector:4318',
      'grpc://collector',
      'http://canary@collector',
      'http://collector/?canary',
    ]) {
      expect(fault({ OTEL_EXPORTER_OTLP_ENDPOINT: wrong })).toMatch(
        /^OTEL_EXPORTER_OTLP_ENDPOINT (?!.*canary)/,
      );
    }
    for (const wrong of ['1.1', '-1', 'half']) {
      expect(fault({ OTEL_TRACES_SAMPLER_ARG: wrong })).toContain('OTEL_TRACES_SAMPLER_ARG');
    }
  });

  it('takes a value from the file that X_FILE names', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'ordo-config-')), 'secret');
    writeFileSync(file, `${SECRET}\n`);
    expect(readConfig({ DATABASE_URL, ORDO_SECRET_FILE: file }).ORDO_SECRET).toBe(SECRET);
    expect(fault({ ORDO_SECRET: SECRET, ORDO_SECRET_FILE: file })).toContain('ORDO_SECRET');
    expect(fault({ ORDO_SECRET_FILE: '/nowhere/secret' })).toContain('ORDO_SECRET_FILE');
  });

  it('refuses production without a database, and a database without a secret, naming the variable', () => {
    expect(fault({ NODE_ENV: 'production' })).toMatch(
      /DATABASE_URL.*ORDO_SECRET.*JWT_KEYS.*AUDIT_SIGNING_KEY.*AUDIT_ORIGIN/,
    );
    expect(fault({ DATABASE_URL })).toContain('ORDO_SECRET');
    const production = {
      NODE_ENV: 'production',
      DATABASE_URL,
      ORDO_SECRET: SECRET,
      JWT_KEYS,
      AUDIT_SIGNING_KEY: JWT_KEYS,
      AUDIT_ORIGIN: 'log.example/orders',
    };
    expect(readConfig(production)).toMatchObject({ DATABASE_URL });
    for (const name of Object.keys(production).filter((each) => each !== 'NODE_ENV')) {
      expect(fault({ ...production, [name]: '' })).toMatch(new RegExp(`^${name} must be set\\b`));
    }
  });

  it('needs keys for access tokens in production alone', () => {
    expect(readConfig({ DATABASE_URL, ORDO_SECRET: SECRET }).JWT_KEYS).toBeUndefined();
  });

  it('reads one or two Ed25519 keys, in their order, also from a file', () => {
    const pairs = [keyPair(), keyPair()];
    const text = pairs.map(({ privateKey }) => pem(privateKey)).join('\n');
    const file = join(mkdtempSync(join(tmpdir(), 'ordo-config-')), 'keys');
    writeFileSync(file, text);
    for (const environment of [{ JWT_KEYS: text }, { JWT_KEYS_FILE: file }]) {
      const keys = readConfig(environment).JWT_KEYS ?? [];
      expect(keys.map(pem)).toEqual(pairs.map(({ privateKey }) => pem(privateKey)));
    }
    expect(readConfig({ JWT_KEYS }).JWT_KEYS).toHaveLength(1);
  });

  it.each([
    ['three keys', [keyPair(), keyPair(), keyPair()].map(({ privateKey }) => pem(privateKey)).join('')],
    ['a key of another kind', pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)],
    ['a key for encryption', pem(generateKeyPairSync('x25519').privateKey)],
    ['one good key and one of another kind', JWT_KEYS + pem(generateKeyPairSync('ed448').privateKey)],
    ['a public key', publicPem(keyPair().publicKey)],
    ['a key that is cut short', JWT_KEYS.replace(/.{8}\n-----END/, '\n-----END')],
    ['a PEM file of nothing', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----'],
    ['no PEM', 'a secret of 32 characters or more, not a key'],
  ])('refuses %s as JWT_KEYS', (_, text) => {
    const words = fault({ JWT_KEYS: text });
    expect(words).toMatch(/^JWT_KEYS must be one or two Ed25519 private keys in PEM/);
    for (const line of text.split('\n').filter((each) => !each.includes('-----') && each !== '')) {
      expect(words).not.toContain(line);
    }
  });

  it('takes a password of the first admin from 12 characters on', () => {
    expect(readConfig({ ADMIN_PASSWORD: 'twelve chars' }).ADMIN_PASSWORD).toBe('twelve chars');
    expect(readConfig({})).toMatchObject({ ADMIN_EMAIL: 'admin@example.com', ADMIN_PASSWORD: undefined });
  });

  it.each([
    ['PORT', '3000x'],
    ['PORT', '-1'],
    ['PORT', '65536'],
    ['REQUEST_TIMEOUT_MS', '1e3'],
    ['LOG_LEVEL', 'loud'],
    ['NODE_ENV', 'staging'],
    ['DATABASE_URL', 'mysql://root:canary-password@db/ordo'],
    ['ORDO_SECRET', 'canary-password'],
    ['ADMIN_PASSWORD', 'eleven char'],
    ['REDIS_URL', 'http://:canary-password@cache:6379'],
    ['CORS_ORIGINS', 'https://shop.example/canary-password'],
    ['AUDIT_ORIGIN', 'canary password'],
    ['AUDIT_ORIGIN', 'log.example/canary+password'],
    ['AUDIT_ORIGIN', 'o'.repeat(256)],
    ['AUDIT_CHECKPOINT_SINK', 'http://user:canary-password@log.example/checkpoint'],
    ['AUDIT_CHECKPOINT_SINK', 'ftp://canary-password@log.example/checkpoint'],
    ['AUDIT_SEALER', 'no'],
    ['AUDIT_SIGNING_KEY', 'canary-password'],
  ])('names %s when it is wrong, and never its value', (name, value) => {
    expect(fault({ [name]: value })).toContain(name);
    expect(fault({ [name]: value })).not.toContain(value);
  });

  it('names every variable that is wrong at once', () => {
    expect(fault({ PORT: 'x', LOG_LEVEL: 'y' })).toMatch(/PORT.*LOG_LEVEL/);
  });

  it('takes as the name of a log what signed notes take', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 20, unit: 'binary' }), (name) => {
        const config = (() => {
          try {
            return readConfig({ AUDIT_ORIGIN: name }).AUDIT_ORIGIN;
          } catch {
            return undefined;
          }
        })();
        expect(config !== undefined).toBe(isKeyName(name));
      }),
    );
  });

  it('takes a file, or an address that is reached in private, as a sink', () => {
    const sink = (text: string) => readConfig({ AUDIT_CHECKPOINT_SINK: text }).AUDIT_CHECKPOINT_SINK;
    expect(sink('/var/lib/ordo/checkpoint')).toEqual({ file: '/var/lib/ordo/checkpoint' });
    expect(sink('checkpoint')).toEqual({ file: resolve('checkpoint') });
    for (const address of ['https://log.example/c', 'http://localhost:8080/c', 'http://[::1]/c']) {
      expect(sink(address)).toEqual({ url: new URL(address) });
    }
  });

  it('reads origins', () => {
    expect(readConfig({ CORS_ORIGINS: 'https://a.example, http://localhost:8080' }).CORS_ORIGINS).toEqual([
      'https://a.example',
      'http://localhost:8080',
    ]);
  });
});
