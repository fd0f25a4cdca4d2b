import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { failure, isTaken } from './answer.js';
import type { ApiClient } from './api-client.js';
import type { ImportedOrder } from './order.js';
import { isObject, LineFailure } from './values.js';

type Customer = ImportedOrder['customer'];

/** As many as are remembered; the others are asked for again. */
const MOST_KNOWN = 10_000;

/** The users of customers, who are known by their e-mail addresses whatever the case. */
export class Customers {
  /** How many users were created. */
  created = 0;
  /** Promises, so that each address is asked for once. */
  private readonly known = new LRUCache<string, Promise<string | undefined>>({ max: MOST_KNOWN });
  private readonly creating = new Map<string, Promise<string>>();

  constructor(private readonly client: ApiClient) {}

  /** The id of the user with this address, undefined when there is none; throws `LineFailure`, `Unreachable`, `Refused`. */
  find(customer: Customer): Promise<string | undefined> {
    const email = customer.email.toLowerCase();
    const known = this.known.get(email);
    if (known) return known;
    const found = this.ask(customer.email);
    this.known.set(email, found);
    found.catch(() => this.known.delete(email));
    return found;
  }

  /** The same, but creates the user where there is none. */
  findOrCreate(customer: Customer): Promise<string> {
    const email = customer.email.toLowerCase();
    const create = () => this.create(customer);
    // Of somebody who is just being created: when that fails, this line may have a name that is accepted.
    const creating = this.creating.get(email)?.catch((error: unknown) => {
      if (error instanceof LineFailure) return create();
      throw error;
    });
    const user = (creating ?? create()).finally(() => {
      if (this.creating.get(email) === user) this.creating.delete(email);
    });
    this.creating.set(email, user);
    return user;
  }

  private async create(customer: Customer): Promise<string> {
    const found = await this.find(customer);
    if (found !== undefined) return found;
    // A key of its own: one derived from the customer would answer with a user who was erased since.
    const answer = await this.client.send('POST', '/v1/users', {
      body: () => customer,
      idempotencyKey: randomUUID(),
    });
    const isNew = answer.status === 201;
    if (isNew) this.created += 1;
    const id = isNew ? idOf(answer.body) : isTaken(answer, 'email') && (await this.ask(customer.email));
    if (typeof id !== 'string') throw failure(answer, '/customer');
    this.known.set(customer.email.toLowerCase(), Promise.resolve(id));
    return id;
  }

  private async ask(email: string): Promise<string | undefined> {
    const answer = await this.client.send(
      'GET',
      `/v1/users?email=${encodeURIComponent(email.toWellFormed())}`,
    );
    if (answer.status !== 200) throw failure(answer, '/customer');
    const users = isObject(answer.body) ? answer.body.data : undefined;
    return Array.isArray(users) && users.length > 0 ? idOf(users[0]) : undefined;
  }
}

function idOf(user: unknown): string {
  if (!isObject(user) || typeof user.id !== 'string') throw new LineFailure('the answer names no user');
  return user.id;
}
