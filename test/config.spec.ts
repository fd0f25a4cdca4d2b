import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { readConfig } from '../src/config/config.js';
import { StartupError } from '../src/config/startup-error.js';

const SECRET = '0123456789abcdef0123456789abcdef';
const DATABASE_URL = 'postgresql://ordo:canary-password@db.example:5432/ordo';

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

  it('takes a value from the file that X_FILE names', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'ordo-config-')), 'secret');
    writeFileSync(file, `${SECRET}\n`);
    expect(readConfig({ DATABASE_URL, ORDO_SECRET_FILE: file }).ORDO_SECRET).toBe(SECRET);
    expect(fault({ ORDO_SECRET: SECRET, ORDO_SECRET_FILE: file })).toContain('ORDO_SECRET');
    expect(fault({ ORDO_SECRET_FILE: '/nowhere/secret' })).toContain('ORDO_SECRET_FILE');
  });

  it('refuses production without a database, and a database without a secret, naming the variable', () => {
    expect(fault({ NODE_ENV: 'production' })).toContain('DATABASE_URL');
    expect(fault({ DATABASE_URL })).toContain('ORDO_SECRET');
    expect(readConfig({ NODE_ENV: 'production', DATABASE_URL, ORDO_SECRET: SECRET })).toMatchObject({
      DATABASE_URL,
    });
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
    ['CORS_ORIGINS', 'https://shop.example/canary-password'],
  ])('names %s when it is wrong, and never its value', (name, value) => {
    expect(fault({ [name]: value })).toContain(name);
    expect(fault({ [name]: value })).not.toContain(value);
  });

  it('names every variable that is wrong at once', () => {
    expect(fault({ PORT: 'x', LOG_LEVEL: 'y' })).toMatch(/PORT.*LOG_LEVEL/);
  });

  it('reads origins', () => {
    expect(readConfig({ CORS_ORIGINS: 'https://a.example, http://localhost:8080' }).CORS_ORIGINS).toEqual([
      'https://a.example',
      'http://localhost:8080',
    ]);
  });
});
