import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader, exportJWK, SignJWT } from 'jose';
import { createKey, createPerson, PASSWORD, type Person, signIn, type Tokens } from './support/people.js';
import { eventually } from './support/process.js';
import { createUser } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

const [oldKey, newKey, foreignKey] = [keyPair(), keyPair(), keyPair()];

/** The same service twice: in the middle of a rotation, the one signs with the old key, the other with the new one. */
let service: TestService;
let replica: TestService;
let person: Person;

beforeAll(async () => {
  service = await startService({ JWT_KEYS: [oldKey.privateKey, newKey.privateKey] });
  replica = await startService({ JWT_KEYS: [newKey.privateKey, oldKey.privateKey] }, service.database);
  person = await createPerson(service);
});
afterAll(async () => {
  await replica.stop();
  await service.stop();
});

function keyPair(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ed25519');
}

async function kidOf({ publicKey }: { publicKey: KeyObject }): Promise<string> {
  return calculateJwkThumbprint(await exportJWK(publicKey));
}

async function statusOf(token: string, at = service): Promise<[number, string | undefined]> {
  const response = await at.as(token).send('get', '/v1/users/me');
  return [response.status, (response.body as { code?: string }).code];
}

describe('an access token', () => {
  it('says who, in which session, with which role, for ten minutes', async () => {
    expect(decodeProtectedHeader(person.accessToken)).toEqual({
      alg: 'EdDSA',
      typ: 'at+jwt',
      kid: await kidOf(oldKey),
    });
    const claims = decodeJwt(person.accessToken);
    expect(claims).toEqual({
      iss: 'ordo',
      aud: 'ordo-api',
      sub: person.user.id,
      sid: expect.stringMatching(/^[0-9a-f-]{36}$/),
      role: 'customer',
      iat: expect.any(Number),
      exp: (claims.iat ?? 0) + 600,
    });
    expect(person).toMatchObject({ tokenType: 'Bearer', expiresIn: 600 });
    expect(await statusOf(person.accessToken)).toEqual([200, undefined]);
  });

  it('is verified by what jwks.json publishes, and by both replicas, whichever key has signed it', async () => {
    const response = await service.as(undefined).send('get', '/.well-known/jwks.json').expect(200);
    expect(response.get('Cache-Control')).toBe('public, max-age=300');
    const { keys } = response.body as { keys: Record<string, string>[] };
    expect(keys.map(({ kid }) => kid)).toEqual([await kidOf(oldKey), await kidOf(newKey)]);
    for (const key of keys) {
      expect(key).toEqual({
        kty: 'OKP',
        crv: 'Ed25519',
        alg: 'EdDSA',
        use: 'sig',
        x: expect.any(String),
        kid: expect.any(String),
      });
    }
    const { accessToken } = await signIn(replica, person.user.email);
    expect(decodeProtectedHeader(accessToken).kid).toBe(await kidOf(newKey));
    expect(await statusOf(accessToken)).toEqual([200, undefined]);
    expect(await statusOf(person.accessToken, replica)).toEqual([200, undefined]);
  });

  it('that has expired is told so', async () => {
    const hourAgo = Math.floor(Date.now() / 1_000) - 3_600;
    const token = await forge({ claims: { iat: hourAgo, exp: hourAgo + 600 } });
    expect(await statusOf(token)).toEqual([401, 'token-expired']);
  });

  it('is good when it is made like ours: the forgeries below fail for one reason each', async () => {
    expect(await statusOf(await forge({}))).toEqual([200, undefined]);
  });

  it.each([
    ['of another issuer', { claims: { iss: 'somebody' } }],
    ['without an issuer', { claims: { iss: undefined } }],
    ['for another audience', { claims: { aud: 'another-api' } }],
    ['of another type', { header: { typ: 'JWT' } }],
    ['without a type', { header: { typ: undefined } }],
    ['without an expiry', { claims: { exp: undefined } }],
    ['without a session', { claims: { sid: undefined } }],
    ['of a session that is no id', { claims: { sid: 'x' } }],
    ['of a subject that is no id', { claims: { sub: "' OR true --" } }],
    ['of somebody else in this session', { claims: { sub: '01890000-0000-7000-8000-000000000000' } }],
    ['with a role that the user does not have', { claims: { role: 'admin' } }],
    ['with a role that there is not', { claims: { role: 'god' } }],
    ['not valid yet', { claims: { nbf: 4_000_000_000 } }],
    ['signed with a foreign key under our kid', { key: foreignKey }],
    ['with an unknown kid', { header: { kid: 'foreign' }, key: foreignKey }],
    ['without a kid', { header: { kid: undefined } }],
    ['with a critical extension', { header: { crit: ['x'], x: 1 } }],
  ])('%s is refused', async (_what, forgery) => {
    expect(await statusOf(await forge(forgery))).toEqual([401, 'unauthenticated']);
  });

  it.each(['jwk', 'jku', 'x5u'])('that brings its own key as %s is refused', async (member) => {
    const jwk = await exportJWK(foreignKey.publicKey);
    const value = member === 'jwk' ? jwk : `${service.url}/.well-known/jwks.json`;
    const header = { [member]: value, kid: await kidOf(foreignKey) };
    expect(await statusOf(await forge({ header, key: foreignKey }))).toEqual([401, 'unauthenticated']);
  });

  it('without a signature, or signed by HMAC with our public key, is refused', async () => {
    const [, payload = ''] = (await forge({})).split('.');
    const kid = await kidOf(oldKey);
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    for (const alg of ['none', 'None', 'NONE']) {
      for (const signature of ['', 'AAAA']) {
        const token = `${encode({ alg, typ: 'at+jwt', kid })}.${payload}.${signature}`;
        expect(await statusOf(token)).toEqual([401, 'unauthenticated']);
      }
    }
    const secrets = [
      oldKey.publicKey.export({ type: 'spki', format: 'pem' }),
      oldKey.publicKey.export({ type: 'spki', format: 'der' }),
      Buffer.from((await exportJWK(oldKey.publicKey)).x ?? '', 'base64url'),
    ];
    for (const secret of secrets) {
      const signed = `${encode({ alg: 'HS256', typ: 'at+jwt', kid })}.${payload}`;
      const mac = createHmac('sha256', secret).update(signed).digest('base64url');
      expect(await statusOf(`${signed}.${mac}`)).toEqual([401, 'unauthenticated']);
    }
  });

  it('with any one bit flipped is refused', async () => {
    const token = await forge({});
    const parts = token.split('.').map((part) => Buffer.from(part, 'base64url'));
    for (const [index, bytes] of parts.entries()) {
      for (let bit = 0; bit < bytes.length * 8; bit += 29) {
        const flipped = Buffer.from(bytes);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const forged = parts.with(index, flipped).map((part) => part.toString('base64url'));
        expect(await statusOf(forged.join('.'))).toEqual([401, 'unauthenticated']);
      }
    }
  });

  it.each([
    ['', 'nothing'],
    ['Basic YTpi', 'another scheme'],
    ['Bearer', 'no token'],
    ['Bearer a b', 'two tokens'],
    ['Bearer ..', 'three empty parts'],
    [`Bearer ${'a'.repeat(8_000)}`, 'a long one'],
    ['Bearer ordo_x_y', 'half a key'],
  ])('sent as %p is refused with a challenge', async (authorization) => {
    const response = await service
      .as(undefined)
      .send('get', '/v1/users/me')
      .set('Authorization', authorization);
    expect(response.status).toBe(401);
    expect(response.get('WWW-Authenticate')).toMatch(/^Bearer realm="ordo"/);
  });
});

describe('a refresh token', () => {
  async function refresh(refreshToken: string, at = service) {
    return at.as(undefined).send('post', '/v1/auth/refresh').send({ refreshToken });
  }

  it('is exchanged for new tokens of the same session', async () => {
    const first = await signIn(service, person.user.email);
    const response = await refresh(first.refreshToken);
    expect(response.status).toBe(200);
    expect(response.get('Cache-Control')).toBe('no-store');
    const second = response.body as Tokens;
    expect(second.refreshToken).not.toBe(first.refreshToken);
    expect(decodeJwt(second.accessToken).sid).toBe(decodeJwt(first.accessToken).sid);
    expect(await statusOf(second.accessToken)).toEqual([200, undefined]);
    expect((await refresh(second.refreshToken)).status).toBe(200);
  });

  it('gives one successor, however many ask for it at once, in both replicas', async () => {
    const { refreshToken } = await signIn(service, person.user.email);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => refresh(refreshToken, index % 2 === 0 ? service : replica)),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    const successors = new Set(answers.map(({ body }) => (body as Tokens).refreshToken));
    expect(successors.size).toBe(1);
    expect((await refresh([...successors][0] ?? '')).status).toBe(200);
  });

  it('used again after 15 s ends its session, and no other, and says so in the audit trail', async () => {
    const [stolen, other] = [
      await signIn(service, person.user.email),
      await signIn(service, person.user.email),
    ];
    const sid = String(decodeJwt(stolen.accessToken).sid);
    const successor = (await refresh(stolen.refreshToken)).body as Tokens;
    await service.database.query(
      `UPDATE sessions SET refreshed_at = refreshed_at - interval '15 s' WHERE id = $1`,
      [sid],
    );
    const reused = await refresh(stolen.refreshToken);
    expect(reused.body).toMatchObject({ status: 401, code: 'refresh-reused' });
    expect((await refresh(successor.refreshToken)).body).toMatchObject({
      status: 401,
      code: 'unauthenticated',
    });
    expect(await statusOf(successor.accessToken)).toEqual([401, 'unauthenticated']);
    expect((await refresh(other.refreshToken)).status).toBe(200);
    expect(await actionsOf(person.user.id)).toContain('user.refresh-reused');
  });

  it('of long ago is known as reused too', async () => {
    const first = await signIn(service, person.user.email);
    const second = (await refresh(first.refreshToken)).body as Tokens;
    const third = (await refresh(second.refreshToken)).body as Tokens;
    expect((await refresh(first.refreshToken)).body).toMatchObject({ code: 'refresh-reused' });
    expect((await refresh(third.refreshToken)).body).toMatchObject({ code: 'unauthenticated' });
  });

  it('that somebody makes up for a session does not end it', async () => {
    const { refreshToken } = await signIn(service, person.user.email);
    const bytes = Buffer.from(refreshToken, 'base64url');
    for (const index of [16, 40, 60]) {
      const forged = Buffer.from(bytes);
      forged[index] = (forged[index] ?? 0) ^ 1;
      expect((await refresh(forged.toString('base64url'))).body).toMatchObject({ code: 'unauthenticated' });
    }
    for (const text of [`${refreshToken}A`, refreshToken.slice(1), 'x', person.accessToken.slice(0, 200)]) {
      expect((await refresh(text)).body).toMatchObject({ code: 'unauthenticated' });
    }
    expect((await refresh(refreshToken)).status).toBe(200);
  });

  it('of a session that has run out is told so', async () => {
    const { refreshToken, accessToken } = await signIn(service, person.user.email);
    await service.database.query(
      `UPDATE sessions SET created_at = created_at - interval '31 days', expires_at = now() WHERE id = $1`,
      [decodeJwt(accessToken).sid],
    );
    expect((await refresh(refreshToken)).body).toMatchObject({ status: 401, code: 'token-expired' });
  });

  it('and passwords, reset tokens and keys are nowhere in the database', async () => {
    const user = await createUser(service, { password: 'kept by nobody at all' });
    const tokens = await signIn(service, user.email, 'kept by nobody at all');
    const rotated = (await refresh(tokens.refreshToken)).body as Tokens;
    const issued = await service.send('post', '/v1/auth/reset-tokens').send({ userId: user.id }).expect(201);
    const { resetToken } = issued.body as { resetToken: string };
    const key = await createKey(service, ['orders:read']);
    const tables = await service.database.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`,
    );
    expect(tables.length).toBeGreaterThan(10);
    const secrets = [
      'kept by nobody',
      tokens.refreshToken,
      tokens.accessToken,
      rotated.refreshToken,
      resetToken,
      key.slice(42),
    ];
    const forms = secrets.flatMap((secret) => [
      secret,
      Buffer.from(secret).toString('hex'),
      Buffer.from(secret, 'base64url').toString('hex'),
    ]);
    const patterns = forms.map((form) => `%${form}%`);
    for (const { name } of tables) {
      const found = await service.database.query(`SELECT FROM ${name} AS t WHERE t::text LIKE ANY($1)`, [
        patterns,
      ]);
      expect([name, found.length]).toEqual([name, 0]);
    }
  });
});

describe('sessions', () => {
  interface SessionBody {
    id: string;
    current: boolean;
  }
  const list = async ({ accessToken }: Tokens) => {
    const response = await service.as(accessToken).send('get', '/v1/auth/sessions').expect(200);
    return (response.body as { data: SessionBody[] }).data;
  };

  it('are listed newest first, and ended one by one by their user', async () => {
    const somebody = await createPerson(service);
    const second = await signIn(service, somebody.user.email);
    const [newest, oldest] = await list(second);
    expect([newest?.current, oldest?.current]).toEqual([true, false]);
    expect(oldest?.id).toBe(decodeJwt(somebody.accessToken).sid);
    const path = `/v1/auth/sessions/${oldest?.id}`;
    await service.as(person.accessToken).send('delete', path).expect(404);
    await service.as(second.accessToken).send('delete', path).expect(204);
    await service.as(second.accessToken).send('delete', path).expect(404);
    expect(await list(second)).toHaveLength(1);
    expect(await statusOf(somebody.accessToken)).toEqual([401, 'unauthenticated']);
  });

  it('end one by one with logout, and all with logout-all', async () => {
    const somebody = await createPerson(service);
    const others = [await signIn(service, somebody.user.email), await signIn(service, somebody.user.email)];
    await service.as(somebody.accessToken).send('post', '/v1/auth/logout').expect(204);
    expect(await statusOf(somebody.accessToken)).toEqual([401, 'unauthenticated']);
    expect(await list(others[0] ?? somebody)).toHaveLength(2);
    await service.as(others[0]?.accessToken).send('post', '/v1/auth/logout-all').expect(204);
    for (const { accessToken } of others) {
      expect(await statusOf(accessToken)).toEqual([401, 'unauthenticated']);
    }
  });
});

describe('within five seconds, in a replica that has just believed it, an access token is dead after', () => {
  const endings: [string, (somebody: Person) => PromiseLike<unknown>][] = [
    ['suspension', ({ user }) => service.send('post', `/v1/users/${user.id}/suspend`).expect(200)],
    ['erasure', ({ user }) => service.send('post', `/v1/users/${user.id}/erase`).expect(200)],
    [
      'another role',
      ({ user }) =>
        service
          .send('patch', `/v1/users/${user.id}`)
          .set('If-Match', '*')
          .send({ role: 'staff' })
          .expect(200),
    ],
    [
      'a new password',
      ({ accessToken }) =>
        service
          .as(accessToken)
          .send('post', '/v1/auth/password')
          .send({ currentPassword: PASSWORD, newPassword: `${PASSWORD}, later` })
          .expect(204),
    ],
    [
      'a reset password',
      async ({ user }) => {
        const issued = await service.send('post', '/v1/auth/reset-tokens').send({ userId: user.id });
        const { resetToken } = issued.body as { resetToken: string };
        const body = { resetToken, newPassword: `${PASSWORD}, later` };
        await service.as(undefined).send('post', '/v1/auth/password').send(body).expect(204);
        await service.as(undefined).send('post', '/v1/auth/password').send(body).expect(401);
      },
    ],
    [
      'logout-all',
      ({ accessToken }) => service.as(accessToken).send('post', '/v1/auth/logout-all').expect(204),
    ],
    ['logout', ({ accessToken }) => service.as(accessToken).send('post', '/v1/auth/logout').expect(204)],
  ];

  // All at once: each waits for as long as a replica believes what it has verified.
  it('suspension, erasure, another role, a new password, a reset one, logout-all, logout', async () => {
    const times = await Promise.all(
      endings.map(async ([name, end]): Promise<[string, number]> => {
        const somebody = await createPerson(service);
        expect(await statusOf(somebody.accessToken, replica)).toEqual([200, undefined]);
        await end(somebody);
        const ended = performance.now();
        await eventually(async () => {
          expect(await statusOf(somebody.accessToken, replica)).toEqual([401, 'unauthenticated']);
        });
        const refreshed = await replica
          .as(undefined)
          .send('post', '/v1/auth/refresh')
          .send({ refreshToken: somebody.refreshToken });
        expect(refreshed.status).toBe(401);
        return [name, performance.now() - ended];
      }),
    );
    expect(times.filter(([, milliseconds]) => milliseconds > 5_000)).toEqual([]);
  });

  it('and it stays dead when the suspension is lifted', async () => {
    const somebody = await createPerson(service);
    await service.send('post', `/v1/users/${somebody.user.id}/suspend`).expect(200);
    await service.send('post', `/v1/users/${somebody.user.id}/reinstate`).expect(200);
    await eventually(async () => {
      expect(await statusOf(somebody.accessToken)).toEqual([401, 'unauthenticated']);
    });
    await signIn(service, somebody.user.email);
  });
});

interface Forgery {
  header?: object;
  claims?: object;
  key?: { privateKey: KeyObject };
}

/** A token of `person` as the service makes them, but for what is given. */
async function forge({ header = {}, claims = {}, key = oldKey }: Forgery): Promise<string> {
  const seconds = Math.floor(Date.now() / 1_000);
  const { sid } = decodeJwt(person.accessToken);
  const payload = { sid, role: 'customer', iss: 'ordo', aud: 'ordo-api', sub: person.user.id };
  return new SignJWT({ ...payload, iat: seconds, exp: seconds + 600, ...claims })
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: await kidOf(oldKey), ...header })
    .sign(key.privateKey, { crit: { x: false } });
}

async function actionsOf(subjectId: string): Promise<string[]> {
  const response = await service.send('get', `/v1/audit/events?subjectId=${subjectId}&limit=100`).expect(200);
  return (response.body as { data: { action: string }[] }).data.map(({ action }) => action);
}
