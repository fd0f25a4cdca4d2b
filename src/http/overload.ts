import type { Socket } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { Request, Response } from 'express';
import { PinoLogger } from 'nestjs-pino';
import type { ServiceConfig } from '../config/config.js';
import { Metrics } from '../metrics/metrics.js';
import { unavailable } from '../problems/problem.js';
import { answerProblem } from './problem.filter.js';

/** How often it looks whether this process keeps up, and writes how many requests it has refused. */
const LOOK_MS = 1_000;
/** Half of the turns of the event loop came later than this: whoever is let in now waits for everybody before. */
const LATE_NS = 500e6;
/** When those who are refused are to come again. */
const RETRY_AFTER_S = 1;
/** One for all: to write down where an error came from takes longer than to answer. */
const TOO_MANY = unavailable('There are too many requests just now.', RETRY_AFTER_S);
/** With this share of the places free there is room for those who were refused; a batch may give back most of them. */
const ROOM = 0.8;

/**
 * The door: requests beyond `MAX_CONCURRENT_REQUESTS`, or that come while the process does not keep up, are refused
 * before anything else is done for them, so that those under way are answered in time. Probes are never refused.
 *
 * A place is held for as long as a route works on a request: not while its body is on its way, nor until its answer is
 * fetched, as slow clients could keep everybody else out; but also when the client has gone, as the work goes on.
 *
 * A connection that was refused rests: nothing is read from it before it is to come again, or most places are free. What
 * is sent meanwhile waits unread: to refuse takes time, too, from those under way.
 */
@Injectable()
export class Overload implements OnApplicationShutdown {
  private readonly most: number;
  private readonly turns = monitorEventLoopDelay({ resolution: 20 });
  private readonly timer: NodeJS.Timeout;
  private readonly count: () => void;
  /** The answers that are worked on. */
  private readonly underWay = new Set<Response>();
  private readonly resting = new Map<Socket, NodeJS.Timeout>();
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
    this.wakeAll();
  }

  /** Whether the request, of which there are the headers, is to be refused. */
  isTooMuch(request: Request): boolean {
    return (this.isLate || this.isFull) && !isProbe(request);
  }

  /** Answers 503. Without a line in the log for each: there may be thousands a second. */
  refuse(request: Request, response: Response): void {
    this.note(request);
    answerProblem(TOO_MANY, request, response);
  }

  /**
   * Takes a place for a request that is here as a whole, until `leave`. Throws `unavailable` when there is none: many
   * bodies can have been on their way at once.
   */
  enter(request: Request, response: Response): void {
    if (isProbe(request)) return;
    if (this.isFull) {
      this.note(request);
      throw TOO_MANY;
    }
    this.underWay.add(response);
  }

  /** Gives back the place, where one was taken. */
  leave(response: Response): void {
    this.underWay.delete(response);
    if (!this.isLate && this.underWay.size <= (1 - ROOM) * this.most) this.wakeAll();
  }

  private note(request: Request): void {
    this.refused++;
    this.count();
    // Until it was read to its end Node.js reads on.
    if (request.closed) this.rest(request.socket);
    else request.once('close', () => this.rest(request.socket));
  }

  private rest(socket: Socket): void {
    if (this.resting.has(socket)) return;
    socket.pause();
    const timer = setTimeout(() => this.wake(socket, timer), 1_000 * RETRY_AFTER_S).unref();
    this.resting.set(socket, timer);
  }

  private wake(socket: Socket, timer: NodeJS.Timeout): void {
    clearTimeout(timer);
    this.resting.delete(socket);
    socket.resume();
  }

  private wakeAll(): void {
    for (const [socket, timer] of this.resting) this.wake(socket, timer);
  }

  private get isFull(): boolean {
    return this.underWay.size >= this.most;
  }

  private look(): void {
    this.isLate = this.turns.percentile(50) > LATE_NS;
    this.turns.reset();
    if (this.refused > 0) this.logger.warn({ refused: this.refused }, 'Overloaded: requests were refused');
    this.refused = 0;
  }
}

function isProbe(request: Request): boolean {
  return request.path.startsWith('/health/');
}
