import { Injectable } from '@nestjs/common';
import { CurrentStates } from '../audit/current-states.js';
import { type Queryable, Snapshots } from '../database/snapshot.js';
import { WritePath } from '../database/write-path.js';
import { AtOnce } from '../http/at-once.js';
import { startingWith } from '../http/stream.js';
import { csvHeader, csvRows } from './csv.js';
import type { ExportedOrder, OrderExportQuery } from './export.dto.js';
import { commanderOf } from './locked-order.js';
import type { OrderState } from './order.events.js';
import { toResponse } from './order.response.dto.js';
import type { Request } from './orders.service.js';
import { searchOrders } from './search.js';

declare module '../database/event.js' {
  interface Occurrences {
    /** Somebody was sent orders together with the names and addresses of those who placed them. */
    'order.exported': null;
  }
}

/** Orders that are read, and held in memory, at once: one can have a hundred kilobytes. */
const PAGE = 100;
/** Characters that are handed over at once. */
const PART = 65_536;

const writers = {
  ndjson: { head: '', write: (order: ExportedOrder) => `${JSON.stringify(order)}\n` },
  csv: { head: csvHeader, write: csvRows },
};

/** Exports of orders, at most two at once in this process. */
@Injectable()
export class OrderExports {
  private readonly atOnce = new AtOnce(2, 'exports');

  constructor(
    private readonly states: CurrentStates,
    private readonly snapshots: Snapshots,
    private readonly writePath: WritePath,
  ) {}

  /**
   * All orders that fit the query and are the caller's to see, newest first, as they were at one moment: `send` takes
   * the text in parts, each read when it is asked for. Who exports is on the record before `send` is called. Throws
   * `unavailable` while two others are under way; ends early when `signal` aborts.
   */
  async run(
    query: OrderExportQuery,
    { access, origin }: Request,
    signal: AbortSignal,
    send: (texts: AsyncIterable<string>) => Promise<void>,
  ): Promise<void> {
    await this.atOnce.run(() =>
      this.snapshots.read(signal, async (snapshot) => {
        const texts = this.texts(snapshot, query, access);
        const first = await texts.next();
        const occurrence = { action: 'order.exported', subjectId: null } as const;
        await this.writePath.record(origin, () => Promise.resolve({ occurrence, result: undefined }));
        await send(startingWith(first, texts));
      }),
    );
  }

  private async *texts(
    snapshot: Queryable,
    { format, ...filters }: OrderExportQuery,
    access: Request['access'],
  ): AsyncGenerator<string, void> {
    const by = commanderOf(access);
    const owner = access.reach === 'own' ? access.actor.id : undefined;
    const { head, write } = writers[format];
    let text = head;
    let after: string | undefined;
    do {
      const search = searchOrders(filters, owner);
      const { data, next } = await this.states.page('order', search, PAGE, after, snapshot);
      for (const { customer, state } of await withCustomers(snapshot, data)) {
        text += write({ ...toResponse(state, by), customer });
        if (text.length < PART) continue;
        yield text;
        text = '';
      }
      yield text;
      text = '';
      after = next;
    } while (after !== undefined);
  }
}

/** The orders and whose they are. */
async function withCustomers(snapshot: Queryable, orders: readonly OrderState[]) {
  const users = await snapshot.query<(ExportedOrder['customer'] & { readonly id: string })[]>(
    `SELECT id, email, name FROM users WHERE id = ANY($1::uuid[])`,
    [orders.map(({ userId }) => userId)],
  );
  const customers = new Map(users.map(({ id, ...customer }) => [id, customer]));
  return orders.flatMap((state) => {
    const customer = customers.get(state.userId);
    return customer === undefined ? [] : [{ state, customer }];
  });
}
