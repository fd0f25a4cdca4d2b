import { randomUUID } from 'node:crypto';
import { type Answer, problemCode } from './answer.js';
import type { ApiClient } from './api-client.js';
import { type ImportedOrder, isObject, LineFailure } from './order.js';

/** `skipped`: the user has an order with this reference, and the key that placed it is forgotten. */
export type Outcome = 'placed' | 'replayed' | 'skipped';

/** Places orders for their customers, whose users it finds or creates. */
export class Importer {
  usersCreated = 0;
  /** Ids by e-mail address in lower case; promises, so that each address is asked for once. */
  private readonly users = new Map<string, Promise<string>>();

  constructor(private readonly client: ApiClient) {}

  /** Places the order unless that was done before; throws `LineFailure`, `Unreachable` or `Refused`. */
  async place(order: ImportedOrder): Promise<Outcome> {
    const answer = await this.client.send('POST', '/v1/orders', {
      body: { userId: await this.userOf(order.customer), ...order.body },
      idempotencyKey: order.idempotencyKey,
    });
    if (answer.status === 201) return answer.replayed ? 'replayed' : 'placed';
    if (isTaken(answer, 'reference')) return 'skipped';
    if (problemCode(answer) === 'idempotency-key-reused') {
      throw new LineFailure('imported before with other content (idempotency-key-reused)');
    }
    throw failure(answer);
  }

  private userOf(customer: ImportedOrder['customer']): Promise<string> {
    const email = customer.email.toLowerCase();
    const known = this.users.get(email);
    if (known) return known;
    const user = this.findOrCreate(customer);
    this.users.set(email, user);
    // The next line may have a name that is accepted.
    user.catch(() => this.users.delete(email));
    return user;
  }

  private async findOrCreate(customer: ImportedOrder['customer']): Promise<string> {
    const found = await this.find(customer.email);
    if (found !== undefined) return found;
    // A key of its own: one derived from the customer would answer with a user who was erased since.
    const created = await this.client.send('POST', '/v1/users', {
      body: customer,
      idempotencyKey: randomUUID(),
    });
    if (created.status === 201) {
      this.usersCreated += 1;
      return idOf(created.body);
    }
    const other = isTaken(created, 'email') ? await this.find(customer.email) : undefined;
    if (other === undefined) throw failure(created, '/customer');
    return other;
  }

  private async find(email: string): Promise<string | undefined> {
    const answer = await this.client.send(
      'GET',
      `/v1/users?email=${encodeURIComponent(email.toWellFormed())}`,
    );
    if (answer.status !== 200) throw failure(answer, '/customer');
    const users = isObject(answer.body) ? answer.body.data : undefined;
    return Array.isArray(users) && users.length > 0 ? idOf(users[0]) : undefined;
  }
}

/** The problem in one line, with the places it names in the file; `parent` is where the sent body stands in the order. */
export function failure({ status, body }: Answer, parent = ''): LineFailure {
  if (!isObject(body) || typeof body.code !== 'string') return new LineFailure(`unexpected answer ${status}`);
  const faults: unknown[] = Array.isArray(body.errors) ? body.errors : [];
  const details = faults.filter(isObject).map(({ pointer, parameter, detail }) => {
    const place = typeof pointer === 'string' ? pointer : `/${String(parameter)}`;
    return `${parent}${place}: ${String(detail)}`;
  });
  return new LineFailure(`${body.code}: ${details.length > 0 ? details.join('; ') : String(body.detail)}`);
}

function isTaken(answer: Answer, field: string): boolean {
  return problemCode(answer) === 'already-exists' && isObject(answer.body) && answer.body.field === field;
}

function idOf(user: unknown): string {
  if (!isObject(user) || typeof user.id !== 'string') throw new LineFailure('the answer names no user');
  return user.id;
}
