import { Injectable } from '@nestjs/common';
import { Counter } from 'prom-client';
import { Metrics } from '../metrics/metrics.js';

const MINUTE = 60_000;

/** As many as a person could cause, and as many as the log should grow by in an attack. */
const MOST_PER_KEY = 60;
const MOST = 3_000;

/** Keeps an attack from filling the audit log: security events have an allowance for each minute of this process. */
@Injectable()
export class EventAllowance {
  private minute = 0;
  private total = 0;
  /** Of those that were taken alone, so that it never holds more than `MOST` keys. */
  private readonly taken = new Map<string, number>();
  private readonly dropped: Counter;

  constructor({ registry }: Metrics) {
    this.dropped = new Counter({
      name: 'security_events_dropped_total',
      help: 'Security events that were not recorded, as there were too many in one minute',
      registers: [registry],
    });
  }

  /** Whether one more event of this key (an address or a caller) may be recorded; counts it when it may. */
  take(key: string): boolean {
    const minute = Math.floor(Date.now() / MINUTE);
    if (minute !== this.minute) {
      this.minute = minute;
      this.total = 0;
      this.taken.clear();
    }
    const ofKey = this.taken.get(key) ?? 0;
    if (this.total >= MOST || ofKey >= MOST_PER_KEY) {
      this.dropped.inc();
      return false;
    }
    this.total += 1;
    this.taken.set(key, ofKey + 1);
    return true;
  }
}
