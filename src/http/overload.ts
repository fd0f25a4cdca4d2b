import type { Socket } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { Request, Response } from 'express';
import { PinoLogger } from 'nestjs-pino';
import type { ServiceConfig } from '../config/config.js';
import { Metrics } from '../metrics/metrics.js';
import { unavailable } from '../problems/problem.js';
import { Drain } from './drain.js';
import { answerProblem } from './problem.filter.js';

/** How often it looks whether this process keeps up, and writes how many requests it has refused. */
const LOOK_MS = 1_000;
/** Half of the turns of the event loop came later than this: whoever is let in now waits for everybody before. */
const LATE_NS = 500e6;
/** When those who are refused are to come again. */
const RETRY_AFTER_S = 1;
/** One for all: to write down where an error came from takes longer than to answer. */
const TOO_MANY = unavailable('There are too many requests just now.', RETRY_AFTER_S);

/**
 * The door: requests beyond `MAX_CONCURRENT_REQUESTS`, or that come while the process does not keep up, are refused
 * before anything else is done for them, so that those under way are answered in time. Probes are never refused.
 *
 * A place is held for as long as a route works on a request: not while its body is on its way, nor until its answer is
 * fetched, as slow clients could keep everybody else out; but also when the client has gone, as the work goes on.
 *
 * A connection that was refused rests: nothing is read from it before it is to come again, or half of the places are free
 * and it has rested longest. What is sent meanwhile waits unread: to refuse takes time, too, from those under way.
 */
@Injectable()
export class Overload implements OnApplicationShutdown {
  private readonly most: number;
  private readonly turns = monitorEventLoopDelay({ resolution: 20 });
  private readonly timer: NodeJS.Timeout;
  private readonly count: () => void;
  /**
   * How many places are taken. No set of the answers: V8 links the tables that a set outgrows, and one of them that has
   * become old keeps the next ones, and all that they hold, until all garbage is collected.
   */
  private underWay = 0;
  /** The connections that rest, first those that have rested longest. */
  private readonly resting = new Map<Socket, NodeJS.Timeout>();
  private refused = 0;
  private isLate = false;

  constructor(
    config: ConfigService<ServiceConfig, true>,
    metrics: Metrics,
    private readonly drain: Drain,
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
    response.locals.hasPlace = true;
    this.underWay++;
  }

  /** Gives back the place, where one was taken. */
  leave(response: Response): void {
    if (response.locals.hasPlace !== true) return;
    response.locals.hasPlace = false;
    this.underWay--;
    if (this.isLate) return;
    // While more are taken, those who were just answered come again, and who is woken is refused once more.
    const [first] = this.underWay < this.most / 2 ? this.resting.keys() : [];
    // Who was woken may have nothing to say: the others are not to wait for that while there is nothing to do.
    if (this.underWay === 0) this.wakeAll();
    else if (first !== undefined) this.wake(first);
  }

  /** Reads again from all connections, as when the process is to end: none that was sent something is left unread. */
  wakeAll(): void {
    for (const socket of this.resting.keys()) this.wake(socket);
  }

  private note(request: Request): void {
    this.refused++;
    this.count();
    const until = performance.now() + 1_000 * RETRY_AFTER_S;
    // Until it was read to its end Node.js reads on.
    if (request.closed) this.rest(request.socket, until);
    else request.once('close', () => this.rest(request.socket, until));
  }

  private rest(socket: Socket, until: number): void {
    const left = until - performance.now();
    const isNeedless = left <= 0 || socket.destroyed || this.drain.isDraining;
    if (isNeedless || this.resting.has(socket)) return;
    socket.pause();
    this.resting.set(socket, setTimeout(() => this.wake(socket), left).unref());
  }

  private wake(socket: Socket): void {
    clearTimeout(this.resting.get(socket));
    this.resting.delete(socket);
    socket.resume();
  }

  private get isFull(): boolean {
    return this.underWay >= this.most;
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
