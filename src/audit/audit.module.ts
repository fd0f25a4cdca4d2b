import { Module } from '@nestjs/common';
import { AuditController } from './audit.controller.js';
import { AuditService } from './audit.service.js';
import { History } from './history.js';
import { Integrity } from './integrity/integrity.js';
import { IntegrityController } from './integrity/integrity.controller.js';
import { SubjectChecks } from './integrity/subject-check.js';

@Module({
  controllers: [AuditController, IntegrityController],
  providers: [AuditService, History, Integrity, SubjectChecks],
  exports: [AuditService, History, SubjectChecks],
})
export class AuditModule {}
