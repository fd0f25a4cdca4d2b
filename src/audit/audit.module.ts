import { Module } from '@nestjs/common';
import { AuditController } from './audit.controller.js';
import { AuditService } from './audit.service.js';
import { History } from './history.js';

@Module({
  controllers: [AuditController],
  providers: [AuditService, History],
  exports: [History],
})
export class AuditModule {}
