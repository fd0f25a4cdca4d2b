import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { anyCommand, bodyOf, type Command, newLine, type OrderFacts } from './support/order-commands.js';
import { createKey, createPerson } from './support/people.js';
import { type OrderBody, placeOrder } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

// Random histories of orders: whoever asks for a version or an instant later is answered what a caller of the same role
// was answered then, byte for byte. ORDO_MODEL_RUNS=500 looks longer.
const RUNS = Number(process.env.ORDO_MODEL_RUNS ?? 4);

/** JSON merge patch of note and metadata. */
interface Update {
  readonly name: 'update';
  readonly patch: object;
}
/** After how many milliseconds comes what. */
interface Step {
  readonly after: number;
  readonly given: Command | Update;
}
interface Answer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly text: string;
}
/** What each caller was answered when the order had come to this version. */
interface Seen {
  readonly version: number;
  readonly at: number;
  readonly answers: readonly Answer[];
}
type Caller = Pick<TestService, 'send'>;

const text = fc.constantFrom('', 'Leave it "there"\n', '\u2028', 'Ä 😀', '1');
const metadata = fc.dictionary(fc.constantFrom('c', 'bb', 'a', '10', '9'), text, { maxKeys: 3 });
const patch = fc.record(
  {
    note: fc.option(text),
    metadata: fc.option(
      fc.dictionary(fc.constantFrom('c', 'bb', 'a', '10'), fc.option(text), { maxKeys: 2 }),
    ),
  },
  { requiredKeys: [] },
);
const step: fc.Arbitrary<Step> = fc.record({
  after: fc.constantFrom(0, 0, 0, 1, 7),
  given: fc.oneof(
    { weight: 6, arbitrary: anyCommand },
    { weight: 1, arbitrary: fc.record({ name: fc.constant('update' as const), patch }) },
  ),
});
const history = fc.record({
  lines: fc.array(newLine, { minLength: 1, maxLength: 3 }),
  members: fc.record({ note: fc.option(text), metadata, shipping: fc.nat(10) }),
  steps: fc.array(step, { minLength: 1, maxLength: 12, size: 'max' }),
});

let service: TestService;
let ownerId: string;
let owner: Caller;
let callers: readonly Caller[];
let strangers: readonly Caller[];
/** What the service takes for now; undefined for the time that it is. */
let clock: number | undefined;
const realNow = Date.now.bind(Date);

beforeAll(async () => {
  // Versions of the same millisecond are too rare to wait for.
  jest.spyOn(Date, 'now').mockImplementation(() => clock ?? realNow());
  service = await startService();
  const [customer, other, staff, auditor] = await Promise.all(
    ['customer', 'customer', 'staff', 'auditor'].map((role) => createPerson(service, role)),
  );
  const keys = await Promise.all([
    createKey(service, ['orders:read']),
    createKey(service, ['orders:read', 'orders:write']),
  ]);
  ownerId = customer?.user.id ?? '';
  owner = service.as(customer?.accessToken);
  callers = [owner, service, service.as(staff?.accessToken), ...keys.map((key) => service.as(key))];
  strangers = [service.as(other?.accessToken), service.as(auditor?.accessToken)];
});
afterAll(async () => {
  await service.stop();
  jest.restoreAllMocks();
});

async function read(caller: Caller, id: string, moment = ''): Promise<Answer> {
  const response = await caller.send('get', `/v1/orders/${id}${moment}`);
  return { status: response.status, etag: response.get('ETag'), text: response.text };
}

async function see(id: string): Promise<Seen> {
  const answers = await Promise.all(callers.map((caller) => read(caller, id)));
  const { version, updatedAt } = JSON.parse(answers[0]?.text ?? '') as OrderBody;
  return { version, at: Date.parse(updatedAt), answers };
}

function factsOf(seen: Seen | undefined): OrderFacts {
  const order = JSON.parse(seen?.answers[0]?.text ?? '') as Pick<OrderFacts, 'total' | 'paid'> & {
    readonly lines: readonly { readonly quantity: number; readonly fulfilled: number }[];
  };
  return { ...order, sent: order.lines.map(({ fulfilled }) => fulfilled) };
}

/** Whether the order took it. */
async function give(id: string, given: Command | Update, order: OrderFacts): Promise<boolean> {
  if (given.name === 'update') {
    const patched = await service.send('patch', `/v1/orders/${id}`).set('If-Match', '*').send(given.patch);
    expect(patched.status).toBe(200);
    return true;
  }
  const by = given.name === 'cancel' && given.by === 'customer' ? owner : service;
  const { status } = await by
    .send('post', `/v1/orders/${id}/${given.name}`)
    .set('Idempotency-Key', randomUUID())
    .send(bodyOf(order, given));
  return status === 200;
}

/** Ways to write an instant, given in whole milliseconds, or just before the next one. */
function writingsOf(at: number): string[] {
  const iso = new Date(at).toISOString();
  const inKolkata = new Date(at + 19_800_000).toISOString().replace('Z', '+05:30');
  return [iso, inKolkata, iso.toLowerCase(), iso.replace('Z', '999999Z')];
}

/** What everybody saw last at this instant. */
function seenAt(history: readonly Seen[], at: number): Seen | undefined {
  return history.findLast((seen) => seen.at <= at);
}

/** Asks all callers, or this one alone. */
async function expectSeen(id: string, moment: string, seen: Seen | undefined, only?: number): Promise<void> {
  const asked = [...callers.keys()].filter((index) => only === undefined || index === only);
  const answers = await Promise.all(asked.map((index) => read(callers[index] ?? service, id, moment)));
  if (seen === undefined)
    expect([moment, ...answers.map(({ status }) => status)]).toEqual([moment, ...asked.map(() => 404)]);
  else expect([moment, ...answers]).toEqual([moment, ...asked.map((index) => seen.answers[index])]);
}

it(
  'the past of an order is what it was when it was the present, for everybody',
  async () => {
    let coincidences = 0;
    await fc.assert(
      fc.asyncProperty(history, async ({ lines, members, steps }) => {
        clock = realNow();
        const named = lines.map((line, index) => ({ ...line, sku: `SKU-${index}`, name: 'Ä "x"' }));
        const { id } = await placeOrder(service, ownerId, { ...members, lines: named });
        const past = [await see(id)];
        for (const { after, given } of steps) {
          clock = Math.min(clock + after, realNow());
          if (await give(id, given, factsOf(past.at(-1)))) past.push(await see(id));
        }
        clock = undefined;

        // A patch that changes nothing makes no version: what is seen before and after it is the same.
        for (const seen of past) await expectSeen(id, `?version=${seen.version}`, seen);
        const newest = past.at(-1)?.version ?? 0;
        expect(new Set(past.map(({ version }) => version)).size).toBe(newest);
        await expectSeen(id, `?version=${newest + 1}`, undefined);

        const instants = new Set(past.flatMap(({ at }) => [at - 1, at, at + 1]));
        coincidences += newest - new Set(past.map(({ at }) => at)).size;
        for (const at of instants) {
          const seen = seenAt(past, at);
          const [plain, ...others] = writingsOf(at).map((writing) => `?asOf=${encodeURIComponent(writing)}`);
          await expectSeen(id, plain ?? '', seen);
          await Promise.all(others.map((other, caller) => expectSeen(id, other, seen, caller)));
        }
        const statuses = await Promise.all(
          strangers.map(async (stranger) => (await read(stranger, id, '?version=1')).status),
        );
        expect(statuses).toEqual([404, 403]);
      }),
      { numRuns: RUNS },
    );
    // A long look that meets few versions of the same millisecond has not looked.
    if (RUNS >= 50) expect(coincidences).toBeGreaterThan(RUNS / 5);
  },
  60_000 + RUNS * 6_000,
);
