import { randomUUID } from 'node:crypto';
import { lines } from './samples.js';

/** One client with a connection that stays, until the service is not ready any more. */
export async function placeOrders(
  url: string,
  token: string,
  load: { acknowledged: number; readonly failures: string[]; readonly isReady: boolean },
): Promise<void> {
  while (load.isReady) {
    try {
      const response = await fetch(`${url}/v1/orders`, {
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          Authorization: `Bearer ${token}`,
          'Idempotency-Key': randomUUID(),
        },
        body: JSON.stringify({ currency: 'EUR', lines }),
      });
      await response.text();
      if (response.status === 201) load.acknowledged++;
      else load.failures.push(`${response.status}`);
    } catch (error) {
      load.failures.push(String(error instanceof Error ? (error.cause ?? error) : error));
    }
  }
}
