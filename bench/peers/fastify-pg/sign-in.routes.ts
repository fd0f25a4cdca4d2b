import { verify } from '@node-rs/argon2';
import type { FastifyPluginAsync } from 'fastify';
import type pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { auditEvent, newRefreshToken } from '../rules/audit.js';
import { TOKEN_SECONDS } from '../rules/environment.js';
import { inTransaction, insertEvent } from './database.js';
import { login, tokens } from './schemas.js';

interface Account {
  readonly id: string;
  readonly role: string;
  readonly status: string;
  readonly hash: string;
}

export const signInRoutes: FastifyPluginAsync<{ readonly pool: pg.Pool }> = async (app, { pool }) => {
  app.post<{ Body: { email: string; password: string } }>(
    '/v1/auth/login',
    { schema: { body: login, response: { 200: tokens } } },
    async (request, reply) => {
      const { email, password } = request.body;
      const account = await findAccount(pool, email);
      const isRight = account !== undefined && (await verify(account.hash, password));
      if (!isRight || account.status !== 'active') return reply.code(401).send({ error: 'Wrong' });
      const sessionId = uuidv7();
      const { refreshToken, hash } = newRefreshToken();
      await inTransaction(pool, async (client) => {
        await client.query({
          name: 'insert-session',
          text: `INSERT INTO sessions (id, user_id, refresh_hash, expires_at)
                 VALUES ($1, $2, $3, now() + interval '30 days')`,
          values: [sessionId, account.id, hash],
        });
        const subject = { subjectType: 'user', subjectId: account.id, actorId: account.id };
        const event = auditEvent({ action: 'user.signed-in', ...subject, requestId: request.id });
        await insertEvent(client, event);
      });
      const accessToken = app.jwt.sign({ sub: account.id, sid: sessionId, role: account.role });
      return { accessToken, tokenType: 'Bearer', expiresIn: TOKEN_SECONDS, refreshToken };
    },
  );
};

async function findAccount(pool: pg.Pool, email: string): Promise<Account | undefined> {
  const { rows } = await pool.query<Account>({
    name: 'find-account',
    text: `SELECT id, role, status, hash FROM users JOIN passwords ON user_id = id WHERE lower(email) = lower($1)`,
    values: [email],
  });
  return rows[0];
}
