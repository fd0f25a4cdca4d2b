import cluster from 'node:cluster';
import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { tellPrimary } from './worker-metrics.js';

/** What node-postgres tells about its pool. */
interface Pool {
  readonly totalCount: number;
  readonly idleCount: number;
  readonly waitingCount: number;
}

/** The measurements of one process, in a registry of its own. */
@Injectable()
export class Metrics {
  readonly registry = new Registry();

  readonly requestDuration = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from the headers of a request to the end of its answer, by route pattern, method and status',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [this.registry],
  });

  readonly requestsInFlight = new Gauge({
    name: 'http_requests_in_flight',
    help: 'Requests that have begun and are not over',
    registers: [this.registry],
  });

  constructor(dataSource: DataSource) {
    collectDefaultMetrics({ register: this.registry });
    if (cluster.isWorker) {
      tellPrimary(this.registry);
    }
    this.registry.registerMetric(poolGauge(dataSource));
  }

  /** Adds a gauge that is read whenever metrics are asked for; `aggregator` makes one of those of several workers. */
  watch(name: string, help: string, read: () => number, aggregator: 'sum' | 'max' = 'sum'): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      aggregator,
      registers: [this.registry],
      collect: () => gauge.set(read()),
    });
  }

  /** Adds a counter and returns what adds one to it. */
  count(name: string, help: string): () => void {
    const counter = new Counter({ name, help, registers: [this.registry] });
    return () => {
      counter.inc();
    };
  }
}

function poolGauge(dataSource: DataSource): Gauge<'state'> {
  return new Gauge({
    name: 'database_pool_connections',
    help: 'Connections of the pool that are in use and idle, and requests that wait for one',
    labelNames: ['state'],
    registers: [],
    collect() {
      const pool = (dataSource.driver as PostgresDriver).master as Pool;
      this.set({ state: 'used' }, pool.totalCount - pool.idleCount);
      this.set({ state: 'idle' }, pool.idleCount);
      this.set({ state: 'waiting' }, pool.waitingCount);
    },
  });
}
