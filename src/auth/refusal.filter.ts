import { type ArgumentsHost, Catch, Injectable } from '@nestjs/common';
import type { Request } from 'express';
import { ProblemFilter } from '../http/problem.filter.js';
import { Problem } from '../problems/problem.js';
import { SecurityEvents } from './security-events.js';

/** Puts on the record what is refused to a known caller, by a guard or by a use case, before it is answered. */
@Injectable()
@Catch(Problem)
export class RefusalFilter extends ProblemFilter {
  constructor(private readonly events: SecurityEvents) {
    super();
  }

  override async catch(problem: Problem, host: ArgumentsHost): Promise<void> {
    const request = host.switchToHttp().getRequest<Request>();
    try {
      if (problem.code === 'forbidden' && request.caller) await this.events.recordDenial(request);
      await super.catch(problem, host);
    } catch (error) {
      await super.catch(error, host);
    }
  }
}
