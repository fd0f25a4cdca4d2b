import { Injectable } from '@nestjs/common';
import { AuditService } from '../audit/audit.service.js';
import { CurrentStates } from '../audit/current-states.js';
import { History } from '../audit/history.js';
import type { Origin } from '../database/event.js';
import { WritePath } from '../database/write-path.js';
import type { Access } from '../http/access.js';
import { toResponse as orderResponse } from '../orders/order.response.dto.js';
import { summarizeOrderEvent } from '../orders/order.summary.js';
import { summarizeUserEvent } from '../users/user.events.js';
import { toResponse as userResponse } from '../users/users.dto.js';
import { UsersService } from '../users/users.service.js';
import { jsonDocument, type Lists } from './json-document.js';
import { StoredData } from './stored-data.js';
import type { UserExportResponse } from './user-export.dto.js';

declare module '../database/event.js' {
  interface Occurrences {
    'user.exported': string;
  }
}

type Head = Pick<UserExportResponse, 'exportedAt' | 'user' | 'signIn'>;

/** Gives a person all that is stored about them. */
@Injectable()
export class UserExport {
  constructor(
    private readonly users: UsersService,
    private readonly states: CurrentStates,
    private readonly history: History,
    private readonly audit: AuditService,
    private readonly stored: StoredData,
    private readonly writePath: WritePath,
  ) {}

  /**
   * The export as pieces of one JSON document (`UserExportResponse`), read while they are taken, on no connection of its
   * own. That there was one is on the record before. Throws `not-found` for a user whom the caller may not export.
   */
  async start(id: string, access: Access, origin: Origin): Promise<AsyncGenerator<string>> {
    const user = await this.users.get(id, access);
    await this.writePath.record(origin, () =>
      Promise.resolve({ occurrence: { action: 'user.exported', subjectId: id }, result: undefined }),
    );
    const head: Head = {
      exportedAt: new Date().toISOString(),
      user: userResponse(user),
      signIn: await this.stored.signIn(id),
    };
    const lists: Lists<Omit<UserExportResponse, keyof Head>> = {
      history: this.profileEvents(id),
      sessions: this.stored.sessions(id),
      idempotencyKeys: this.stored.idempotencyKeys(id),
      occurrences: this.audit.happenedTo(id),
      actions: this.audit.causedBy(id),
      orders: this.allOrders(id),
      orderEvents: this.allOrderEvents(id),
    };
    return jsonDocument(head, lists);
  }

  private async *profileEvents(id: string) {
    for await (const part of this.history.all('user', [id], summarizeUserEvent)) {
      yield part.map(({ event, state }) => ({ ...event, state: state && userResponse(state) }));
    }
  }

  private async *allOrders(userId: string) {
    for await (const ids of this.stored.orderIds(userId)) {
      yield (await this.states.all('order', ids)).map((order) => orderResponse(order, undefined));
    }
  }

  private async *allOrderEvents(userId: string) {
    for await (const ids of this.stored.orderIds(userId)) {
      for await (const part of this.history.all('order', ids, summarizeOrderEvent)) {
        yield part.map(({ subjectId, event }) => ({ ...event, orderId: subjectId }));
      }
    }
  }
}
