import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { AuditModule } from '../audit/audit.module.js';
import { HealthController } from './health.controller.js';
import { LogHealth } from './log-health.js';
import { ServiceHealth } from './service-health.js';

@Module({
  imports: [TerminusModule.forRoot({ logger: false }), AuditModule],
  controllers: [HealthController],
  providers: [LogHealth, ServiceHealth],
})
export class HealthModule {}
