import { randomUUID } from 'node:crypto';
import type { UserBody } from './samples.js';
import type { TestService } from './service.js';

/** A password that everybody in the tests has. */
export const PASSWORD = 'everybody in the tests';

/** What login and refresh answer. */
export interface Tokens {
  accessToken: string;
  tokenType: string;
  expiresIn: number;
  refreshToken: string;
}

/** A user who is signed in. */
export interface Person extends Tokens {
  readonly user: UserBody;
}

/** Creates a user with this role and signs them in. */
export async function createPerson(service: TestService, role = 'customer'): Promise<Person> {
  const body = { name: `A ${role}`, email: `${role}.${randomUUID()}@example.com`, role, password: PASSWORD };
  const created = await service.send('post', '/v1/users').send(body).expect(201);
  const user = created.body as UserBody;
  return { user, ...(await signIn(service, user.email)) };
}

/** Signs in and returns the tokens. */
export async function signIn(service: TestService, email: string, password = PASSWORD): Promise<Tokens> {
  const response = await service
    .as(undefined)
    .send('post', '/v1/auth/login')
    .send({ email, password })
    .expect(200);
  return response.body as Tokens;
}

/** Creates an API key with these scopes and returns its secret text. */
export async function createKey(service: TestService, scopes: readonly string[]): Promise<string> {
  const response = await service
    .send('post', '/v1/api-keys')
    .send({ name: randomUUID(), scopes })
    .expect(201);
  return (response.body as { key: string }).key;
}
