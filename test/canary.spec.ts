import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createDatabase, type TestDatabase } from './support/database.js';
import { createFolder, freePort, type ServiceProcess, startProcess } from './support/process.js';

const ADMIN_PASSWORD = 'canary admin password';

interface Answer {
  status: number;
  text: string;
  body: Record<string, string>;
}

let database: TestDatabase;
let folder: Awaited<ReturnType<typeof createFolder>>;
let service: ServiceProcess;
let url: string;
let metricsPort: number;

beforeAll(async () => {
  database = await createDatabase();
  folder = await createFolder();
  metricsPort = await freePort();
  service = startProcess(folder.folder, {
    DATABASE_URL: database.serviceUrl,
    ORDO_SECRET: 'canary-secret-of-the-service-itself-32',
    ADMIN_EMAIL: 'canary.admin@example.com',
    ADMIN_PASSWORD,
    LOG_LEVEL: 'trace',
    TRUST_PROXY: '1',
    METRICS_PORT: String(metricsPort),
  });
  url = await service.listening();
});
afterAll(async () => {
  service.process.kill('SIGTERM');
  await service.exited();
  await database.drop();
  await folder.remove();
});

it('secrets and personal data are in no log line, event, metric or problem', async () => {
  const problems: string[] = [];
  const send = async (method: string, path: string, body?: object, token?: string): Promise<Answer> => {
    const response = await fetch(url + path, {
      method,
      headers: {
        'X-Forwarded-For': '203.0.113.77',
        'User-Agent': 'canary-agent',
        'If-Match': '*',
        'Idempotency-Key': `canary-key-${randomUUID()}`,
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) problems.push(text);
    return { status: response.status, text, body: text === '' ? {} : (JSON.parse(text) as Answer['body']) };
  };

  const email = 'canary.ada@example.com';
  const password = 'canary password of ada';
  const admin = await send('POST', '/v1/auth/login', {
    email: 'canary.admin@example.com',
    password: ADMIN_PASSWORD,
  });
  const adminToken = admin.body.accessToken ?? '';
  const user = await send('POST', '/v1/auth/register', { name: 'Canary Ada', email, password });
  const ada = await send('POST', '/v1/auth/login', { email, password });
  const refreshed = await send('POST', '/v1/auth/refresh', { refreshToken: ada.body.refreshToken });
  const key = await send('POST', '/v1/api-keys', { name: 'import', scopes: ['orders:read'] }, adminToken);
  const reset = await send('POST', '/v1/auth/reset-tokens', { userId: user.body.id }, adminToken);
  expect([user.status, ada.status, refreshed.status, key.status, reset.status]).toEqual([
    201, 200, 200, 201, 201,
  ]);

  // And now everything that is refused, with a canary wherever one fits; in the end the person is erased.
  const refusals = await Promise.all([
    send('POST', '/v1/auth/register', { name: 'Canary Ada', email, password }),
    send('POST', '/v1/auth/register', { name: 'Canary Ada', email: 'canary', password: 'canary short' }),
    send('POST', '/v1/auth/login', { email, password: 'canary guess' }),
    send('POST', '/v1/auth/login', { email: 'canary.nobody@example.com', password: 'canary guess' }),
    send('POST', '/v1/auth/login', { email, password: ['canary guess'] }),
    send('POST', '/v1/auth/refresh', { refreshToken: `canary${ada.body.refreshToken}` }),
    send('POST', '/v1/auth/password', { resetToken: 'canary-token', newPassword: 'canary new password' }),
    send(
      'POST',
      '/v1/auth/password',
      { currentPassword: 'canary guess', newPassword: password },
      ada.body.accessToken,
    ),
    send('GET', '/v1/users/me', undefined, `canary.${adminToken}`),
    send('GET', '/v1/users/me', undefined, key.body.key),
    send('GET', '/v1/orders', undefined, `${key.body.key}canary`),
    send('GET', '/v1/users?email=canary.ada@example.com', undefined, ada.body.accessToken),
    send('GET', '/v1/users?canary=canary.ada@example.com', undefined, adminToken),
    send('GET', '/v1/users/canary.ada@example.com', undefined, adminToken),
    send('GET', '/canary.ada@example.com', undefined, adminToken),
    send('POST', '/v1/users', { name: 'Canary Ada', email, password }, adminToken),
    send('POST', '/v1/users', { name: 'Canary Ada', email: '\u0000canary', password }, adminToken),
    send('PATCH', `/v1/users/${user.body.id}`, { email: 'canary.admin@example.com' }, ada.body.accessToken),
  ]);
  expect(refusals.filter(({ status }) => status < 400 || status >= 500)).toEqual([]);
  await send('POST', '/v1/auth/refresh', { refreshToken: ada.body.refreshToken });
  const exported = await send('GET', `/v1/users/${user.body.id}/export`, undefined, adminToken);
  const erased = await send('POST', `/v1/users/${user.body.id}/erase`, {}, adminToken);
  expect([exported.status, exported.text.includes(email), erased.status]).toEqual([200, true, 200]);

  const metrics = await fetch(`http://127.0.0.1:${metricsPort}/metrics`).then((response) => response.text());
  expect(metrics).toContain('http_request_duration_seconds_count');
  const events = await database.query<{ entry: string }>(
    `SELECT convert_from(entry, 'UTF8') AS entry FROM audit_events`,
  );
  expect(events.length).toBeGreaterThan(8);
  // One line a request: the log is complete.
  expect(service.lines.filter((line) => line.includes('"route"')).length).toBeGreaterThan(refusals.length);

  const secrets = [
    'canary',
    '203.0.113.77',
    ...[adminToken, ada.body.accessToken, ada.body.refreshToken, refreshed.body.refreshToken].map(String),
    String(key.body.key).slice(42),
    String(reset.body.resetToken),
  ];
  const places = {
    log: service.lines,
    event: events.map(({ entry }) => entry),
    metric: metrics.split('\n'),
    // A problem names what is unknown to it: that is what was sent.
    problem: problems.filter((text) => !text.includes('unknown-parameter')),
  };
  const found = Object.entries(places).flatMap(([place, texts]) =>
    texts
      .filter((text) => secrets.some((secret) => text.toLowerCase().includes(secret.toLowerCase())))
      .map((text) => `${place}: ${text}`),
  );
  expect(found).toEqual([]);
});
