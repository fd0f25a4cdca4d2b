import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { verify } from '@node-rs/argon2';
import { dumpOf } from './support/dump.js';
import { createUser, type UserBody } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

describe('creating a user', () => {
  it('answers 201 with the user, its place and its version', async () => {
    const response = await service
      .send('post', '/v1/users')
      .send({
        name: 'Grace Hopper',
        email: 'Grace@Example.com',
        role: 'staff',
        password: 'a long enough one',
      })
      .expect(201);
    const user = response.body as UserBody;
    expect(user).toMatchObject({
      name: 'Grace Hopper',
      email: 'Grace@Example.com',
      role: 'staff',
      status: 'active',
    });
    expect(response.get('ETag')).toBe('"1"');
    expect(response.get('Location')).toBe(`/v1/users/${user.id}`);
    const read = await service.send('get', `/v1/users/${user.id}`).expect(200);
    expect(read.body).toEqual(user);
  });

  it('keeps a password as an argon2id hash alone, and nowhere in the events', async () => {
    const password = 'correct horse battery';
    const user = await createUser(service, { password });
    const [stored] = await service.database.query<{ hash: string }>(
      'SELECT hash FROM passwords WHERE user_id = $1',
      [user.id],
    );
    expect(stored?.hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(await verify(stored?.hash ?? '', password)).toBe(true);
    const dump = await dumpOf(service.database);
    expect(dump).toContain(user.email);
    expect(dump).not.toContain(password);
    const events = await service.database.query<{ text: string }>(
      `SELECT concat(convert_from(entry, 'UTF8'), convert_from(state, 'UTF8')) AS text FROM audit_events`,
    );
    for (const { text } of events) expect(text).not.toMatch(/argon2|password":/);
  });

  it('stores no password where none is given', async () => {
    const { id } = await createUser(service);
    expect(await service.database.query('SELECT FROM passwords WHERE user_id = $1', [id])).toEqual([]);
  });

  it('refuses an e-mail address that is taken in another case', async () => {
    await createUser(service, { email: 'taken@example.com' });
    const response = await service
      .send('post', '/v1/users')
      .send({ name: 'Second', email: 'TAKEN@Example.COM' })
      .expect(409);
    expect(response.body).toMatchObject({ code: 'already-exists', field: 'email' });
  });
});
