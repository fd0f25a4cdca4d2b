import { type ArgumentsHost, Catch, Controller, type ExceptionFilter, Get, UseFilters } from '@nestjs/common';
import { ServiceUnavailableException } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { HealthCheck, type HealthCheckResult, HealthCheckService } from '@nestjs/terminus';
import type { Response } from 'express';
import { Public } from '../http/access.js';
import { Unlimited } from '../limits/decorators.js';
import { LogHealth } from './log-health.js';
import { ServiceHealth } from './service-health.js';

/** Probes read terminus' own body, not a problem. */
@Catch(ServiceUnavailableException)
class HealthFilter implements ExceptionFilter<ServiceUnavailableException> {
  catch(exception: ServiceUnavailableException, host: ArgumentsHost): void {
    host.switchToHttp().getResponse<Response>().status(exception.getStatus()).json(exception.getResponse());
  }
}

@ApiTags('Health')
@Public()
@Unlimited()
@UseFilters(HealthFilter)
@Controller('health')
export class HealthController {
  constructor(
    private readonly checks: HealthCheckService,
    private readonly health: ServiceHealth,
    private readonly log: LogHealth,
  ) {}

  /** Whether the process is alive; asks nobody else, so that a database that is away restarts no pod. */
  @Get('live')
  @ApiOperation({ summary: 'Is the process alive?' })
  @HealthCheck()
  async live(): Promise<HealthCheckResult> {
    return this.checks.check([]);
  }

  /** Whether the process can serve: the database answers, no migration is pending, nothing is being shut down. */
  @Get('ready')
  @ApiOperation({ summary: 'Can the service take requests?' })
  @HealthCheck()
  async ready(): Promise<HealthCheckResult> {
    return this.checks.check([
      () => this.health.database(),
      () => this.health.migrations(),
      () => this.health.draining(),
      () => this.log.state(),
    ]);
  }

  /** Whether the process has been able to serve since it started. */
  @Get('startup')
  @ApiOperation({ summary: 'Has the service started?' })
  @HealthCheck()
  async startup(): Promise<HealthCheckResult> {
    return this.checks.check([() => this.health.migrations()]);
  }
}
