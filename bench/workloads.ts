import { randomUUID } from 'node:crypto';

export const workloadNames = ['place', 'read-order', 'read-user', 'list', 'mixed', 'sign-in'] as const;
export type WorkloadName = (typeof workloadNames)[number];

/** What was loaded into every contender's database. */
export interface Data {
  /** All customers, who can sign in. */
  readonly users: readonly { readonly id: string; readonly email: string }[];
  /** Those of them who have more orders than a page shows. */
  readonly regulars: readonly string[];
  readonly orders: readonly string[];
  /** The staff that sends the requests. */
  readonly callers: readonly { readonly id: string; readonly email: string }[];
  /** The password of everybody. */
  readonly password: string;
}

/** One request; `body` is JSON text. */
export interface BenchRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Makes the next request, never the same; `tokens` are those of the callers at the contender that gets it. */
export type NextRequest = (data: Data, tokens: readonly string[]) => BenchRequest;

export const workloads: Readonly<Record<WorkloadName, NextRequest>> = {
  place: (data, tokens) => placeOrder(newOrder(pick(data.users).id), pick(tokens)),
  'read-order': (data, tokens) => read(`/v1/orders/${pick(data.orders)}`, pick(tokens)),
  'read-user': (data, tokens) => read(`/v1/users/${pick(data.users).id}`, pick(tokens)),
  list: (data, tokens) => read(`/v1/orders?userId=${pick(data.regulars)}&limit=20`, pick(tokens)),
  mixed: (data, tokens) => workloads[Math.random() < 0.8 ? 'read-order' : 'place'](data, tokens),
  'sign-in': (data) => signIn(pick(data.users).email, data.password),
};

export function read(path: string, token: string): BenchRequest {
  return { method: 'GET', path, headers: { authorization: `Bearer ${token}` } };
}

/** A placement under a key of its own, unless one is given. */
export function placeOrder(order: object, token: string, key: string = randomUUID()): BenchRequest {
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    'idempotency-key': key,
  };
  return { method: 'POST', path: '/v1/orders', headers, body: JSON.stringify(order) };
}

export function signIn(email: string, password: string): BenchRequest {
  const headers = { 'content-type': 'application/json' };
  return { method: 'POST', path: '/v1/auth/login', headers, body: JSON.stringify({ email, password }) };
}

/** An order of three lines. */
export function newOrder(userId: string) {
  return {
    userId,
    reference: randomUUID(),
    currency: 'EUR',
    lines: [newLine(), newLine(), newLine()],
    shipping: below(1_000),
    note: `Gate ${below(100)}`,
    metadata: { channel: 'web', campaign: `spring-${below(50)}` },
  };
}

function newLine() {
  const article = below(5_000);
  return {
    sku: `ART-${article}`,
    name: `Article number ${article}`,
    quantity: 1 + below(9),
    unitPrice: below(20_000),
    discountPpm: below(10) * 10_000,
    taxPpm: 190_000,
  };
}

function pick<T>(from: readonly T[]): T {
  const item = from[below(from.length)];
  if (item === undefined) throw new Error('Nothing was loaded to choose from');
  return item;
}

/** A number from 0 to `limit` - 1. */
function below(limit: number): number {
  return Math.floor(Math.random() * limit);
}
