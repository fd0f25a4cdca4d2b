import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, type HttpContender, send } from './contenders.js';
import { firstDifference, normalise, withEffect } from './effect.js';
import { type BenchRequest, type Data, newOrder, placeOrder, read, signIn } from './workloads.js';

/** What a contender does with one request: status, body, and what it has written. */
type Observation = Readonly<Record<'status' | 'body' | 'effect', unknown>>;

/** The requests that all contenders get, the same but for the tokens. */
function probes(data: Data) {
  const [user, , other] = data.users;
  const [orderId] = data.orders;
  const [regular] = data.regulars;
  if (!user || !other || orderId === undefined || regular === undefined) throw new Error('Too few orders');
  const order = newOrder(user.id);
  const key = randomUUID();
  return {
    good: {
      place: (token) => placeOrder(order, token, key),
      'read-order': (token) => read(`/v1/orders/${orderId}`, token),
      'read-user': (token) => read(`/v1/users/${user.id}`, token),
      list: (token) => read(`/v1/orders?userId=${regular}&limit=20`, token),
      'sign-in': () => signIn(user.email, data.password),
      'place again with the same key': (token) => placeOrder(order, token, key),
    } satisfies Record<string, (token: string) => BenchRequest>,
    bad: {
      'another order with the same key': [[422], (token) => placeOrder(newOrder(user.id), token, key)],
      'a reference that is taken': [[409], (token) => placeOrder(order, token)],
      'an unknown user': [[422], (token) => placeOrder(newOrder(randomUUID()), token)],
      'a body with a fault': [[400, 422], (token) => placeOrder({ ...newOrder(other.id), lines: [] }, token)],
      'an unknown member': [[400, 422], (token) => placeOrder({ ...newOrder(other.id), x: 1 }, token)],
      'no key': [
        [400],
        (token) => {
          const { 'idempotency-key': _, ...headers } = placeOrder({}, token).headers;
          return { ...placeOrder(newOrder(other.id), token), headers };
        },
      ],
      'an unknown order': [[404], (token) => read(`/v1/orders/${randomUUID()}`, token)],
      'a forged token': [[401], (token) => read(`/v1/orders/${orderId}`, forged(token))],
      'a wrong password': [[401], () => signIn(other.email, 'not the password')],
    } satisfies Record<string, [statuses: number[], (token: string) => BenchRequest]>,
  };
}

/**
 * Drives the service and its peers with one request of each kind, and throws where a peer answers otherwise or leaves
 * less in the database or the log. Returns what the service answered, by workload.
 */
export async function checkEqualEffect(
  service: HttpContender,
  peers: readonly HttpContender[],
  data: Data,
): Promise<Record<string, Answer>> {
  const { good, bad } = probes(data);
  const answers: Record<string, Answer> = {};
  const observed = new Map<string, Observation>();
  for (const contender of [service, ...peers]) {
    const token = await tokenOf(contender);
    for (const [name, probe] of Object.entries(good)) {
      const { answer, observation } = await observe(contender, probe(token), data);
      if (contender === service) {
        if (answer.status >= 300)
          throw new Error(`ordo answers ${name} with ${answer.status}: ${answer.text}`);
        answers[name] = answer;
        observed.set(name, observation);
      } else {
        compare(contender.name, name, observed.get(name), observation);
      }
    }
    for (const [name, [statuses, probe]] of Object.entries(bad)) {
      const { status } = await send(contender.server.url, probe(token));
      if (!statuses.includes(status)) throw new Error(`${contender.name} answers ${name} with ${status}`);
    }
    await expectLines(contender, Object.keys(good).length + Object.keys(bad).length);
  }
  // All have the same key: a peer takes the token that the service has issued.
  const issued = await tokenOf(service);
  for (const { name, server } of peers) {
    const { status } = await send(server.url, good['read-order'](issued));
    if (status !== 200) throw new Error(`${name} answers a token of the service with ${status}`);
  }
  return answers;
}

async function observe({ server, database }: HttpContender, request: BenchRequest, data: Data) {
  const [answer, effect] = await withEffect(database.superuserUrl, () => send(server.url, request));
  const known = new Set([...data.users, ...data.callers].map(({ id }) => id).concat(data.orders));
  const body: unknown = JSON.parse(answer.text);
  const observation: Observation = {
    status: answer.status,
    body: normalise(body, known),
    effect: normalise(effect, known),
  };
  return { answer, observation };
}

function compare(peer: string, name: string, wanted: Observation | undefined, found: Observation): void {
  const difference = firstDifference(wanted, found);
  if (difference === undefined) return;
  throw new Error(`${peer} does not do what ordo does with the request to ${name}, at ${difference}`);
}

/** Every request has its line in the log, which is written when the answer is out. */
async function expectLines({ name, server }: HttpContender, count: number): Promise<void> {
  const lines = () => server.log().split('\n').length - 1;
  for (let wait = 0; lines() < count && wait < 100; wait++) await sleep(20);
  if (lines() < count) throw new Error(`${name} logged ${lines()} lines for ${count} requests`);
}

async function tokenOf(contender: HttpContender): Promise<string> {
  const [token = ''] = await contender.tokens();
  contender.server.forgetLog();
  return token;
}

/** The same claims with a signature that is not theirs. */
function forged(token: string): string {
  const [head = '', claims = '', signature = ''] = token.split('.');
  return [head, claims, [...signature].reverse().join('')].join('.');
}
