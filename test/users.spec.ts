import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
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

  it('drops the password: no table holds it', async () => {
    await createUser(service, { password: 'correct horse battery' });
    const rows = await service.database.query<{ found: number }>(
      `SELECT count(*)::int AS found FROM audit_events, users
        WHERE position('correct horse' in convert_from(state, 'UTF8')) > 0 OR users::text LIKE '%correct horse%'`,
    );
    expect(rows).toEqual([{ found: 0 }]);
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
