import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Injectable, type NestMiddleware, type OnApplicationShutdown } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { NextFunction, Request, Response } from 'express';
import { PinoLogger } from 'nestjs-pino';
import type { ServiceConfig } from '../config/config.js';
import { Metrics } from '../metrics/metrics.js';
import { unavailable } from '../problems/problem.js';
import { bringsBody } from './json-body.guard.js';
import { answerProblem } from './problem.filter.js';
import { requestIdOf } from './request-log.middleware.js';

/** How often it looks whether this process keeps up, and writes how many requests it has refused. */
const LOOK_MS = 1_000;
/** Half of the turns of the event loop came later than this: whoever is let in now waits for everybody before. */
const LATE_NS = 500e6;
/** One for all: to write down where an error came from takes longer than to answer. */
const TOO_MANY = unavailable('There are too many requests just now.');

/**
 * The door: requests beyond `MAX_CONCURRENT_REQUESTS`, or that come while the process does not keep up, are refused
 * before anything else is done for them, so that those under way are answered in time. Probes always come in.
 */
@Injectable()
export class Overload implements NestMiddleware, OnApplicationShutdown {
  private readonly most: number;
  private readonly turns = monitorEventLoopDelay({ resolution: 20 });
  private readonly timer: NodeJS.Timeout;
  private readonly count: () => void;
  private underWay = 0;
  private refused = 0;
  private isLate = false;

  constructor(
    config: ConfigService<ServiceConfig, true>,
    metrics: Metrics,
    private readonly logger: PinoLogger,
  ) {
    this.logger.setContext(Overload.name);
    this.most = config.get('MAX_CONCURRENT_REQUESTS', { infer: true });
    this.count = metrics.count(
      'http_requests_refused_total',
      'Requests refused at the door, when there were too many',
    );
    this.turns.enable();
    this.timer = setInterval(() => this.look(), LOOK_MS).unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
    this.turns.disable();
  }

  use(request: Request, response: Response, next: NextFunction): void {
    const isFull = this.isLate || this.underWay >= this.most;
    if (isFull && !request.path.startsWith('/health/')) {
      this.refuse(request, response);
      return;
    }
    // Not before its body is here: slow senders could keep everybody else out.
    if (bringsBody(request)) request.once('end', () => this.enter(response));
    else this.enter(response);
    next();
  }

  private enter(response: Response): void {
    if (response.closed) return;
    this.underWay++;
    response.once('close', () => this.underWay--);
  }

  /** Without a line in the log for each: there may be thousands a second. */
  private refuse(request: Request, response: Response): void {
    this.refused++;
    this.count();
    request.id = requestIdOf(request);
    response.setHeader('X-Request-Id', request.id);
    answerProblem(TOO_MANY, request, response);
  }

  private look(): void {
    this.isLate = this.turns.percentile(50) > LATE_NS;
    this.turns.reset();
    if (this.refused > 0) this.logger.warn({ refused: this.refused }, 'Overloaded: requests were refused');
    this.refused = 0;
  }
}
