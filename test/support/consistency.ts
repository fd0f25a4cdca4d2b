import { expect } from '@jest/globals';
import { DataSource } from 'typeorm';
import { Integrity } from '../../src/audit/integrity/integrity.js';
import type { Difference } from '../../src/audit/integrity/section.js';
import { SubjectChecks } from '../../src/audit/integrity/subject-check.js';
import { ApiKey, ApiKeyUse } from '../../src/auth/api-keys/api-key.entity.js';
import { apiKeyCheck } from '../../src/auth/api-keys/api-key.integrity.js';
import { dataSourceOptions } from '../../src/database/data-source.js';
import { Order, OrderLine } from '../../src/orders/order.entity.js';
import { orderCheck } from '../../src/orders/order.integrity.js';
import { User } from '../../src/users/user.entity.js';
import { userCheck } from '../../src/users/user.integrity.js';
import type { TestDatabase } from './database.js';

/** What must hold whatever happened: the service's own check of its database, which test/integrity.spec.ts puts to the test. */
export async function expectConsistent(database: Pick<TestDatabase, 'serviceUrl'>): Promise<void> {
  const options = dataSourceOptions(database.serviceUrl, 1);
  const entities = [User, Order, OrderLine, ApiKey, ApiKeyUse];
  const dataSource = await new DataSource({ ...options, entities }).initialize();
  try {
    const checks = new SubjectChecks();
    checks.register(userCheck);
    checks.register(orderCheck);
    checks.register(apiKeyCheck);
    const [newest] = await dataSource.query<{ origin: string }[]>(
      'SELECT origin FROM audit_checkpoints ORDER BY created_at DESC LIMIT 1',
    );
    const log = { origin: newest?.origin ?? '', signers: [], verifiers: [] };
    const integrity = new Integrity(dataSource, checks, log);
    const differences: Difference[] = [];
    let next: string | undefined;
    do {
      const page = await integrity.page(undefined, 1_000, next);
      differences.push(...page.differences);
      next = page.next;
    } while (next !== undefined);
    expect(differences).toEqual([]);
  } finally {
    await dataSource.destroy();
  }
}
