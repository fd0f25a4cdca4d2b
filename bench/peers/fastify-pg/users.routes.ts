import type { FastifyPluginAsync } from 'fastify';
import type pg from 'pg';
import { reachesAll } from '../rules/environment.js';
import { byId, user } from './schemas.js';

interface UserRow {
  readonly id: string;
  readonly [column: string]: unknown;
}

export async function findUser(pool: pg.Pool, id: string): Promise<UserRow | undefined> {
  const { rows } = await pool.query<UserRow>({
    name: 'find-user',
    text: `SELECT id, name, email, role, status, version, created_at AS "createdAt", updated_at AS "updatedAt"
             FROM users WHERE id = $1`,
    values: [id],
  });
  return rows[0];
}

export const userRoutes: FastifyPluginAsync<{ readonly pool: pg.Pool }> = async (app, { pool }) => {
  app.get<{ Params: { id: string } }>(
    '/v1/users/:id',
    { schema: { params: byId, response: { 200: user } } },
    async (request, reply) => {
      const { id } = request.params;
      const found =
        id === request.user.sub || reachesAll(request.user) ? await findUser(pool, id) : undefined;
      return found ?? reply.code(404).send({ error: 'Not found' });
    },
  );
};
