import { Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { NextFunction, Request, Response } from 'express';
import type { ServiceConfig } from '../config/config.js';
import { Problem } from '../problems/problem.js';
import { answerProblem } from './problem.filter.js';

/**
 * Answers 504 when nothing was answered within `REQUEST_TIMEOUT_MS`; an answer that has begun may take its time. Work
 * under way is not cancelled: others may share it.
 */
@Injectable()
export class TimeLimit {
  private readonly limit: number;

  constructor(config: ConfigService<ServiceConfig, true>) {
    this.limit = config.get('REQUEST_TIMEOUT_MS', { infer: true });
  }

  use(request: Request, response: Response, next: NextFunction): void {
    const timer = setTimeout(() => {
      if (response.headersSent) return;
      const problem = new Problem('timeout', 'The request took too long.');
      response.locals.error = problem;
      answerProblem(problem, request, response);
    }, this.limit);
    response.once('close', () => clearTimeout(timer));
    next();
  }
}
