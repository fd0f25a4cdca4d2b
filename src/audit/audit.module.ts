import { Module } from '@nestjs/common';
import { AuditController } from './audit.controller.js';
import { AuditService } from './audit.service.js';
import { Publisher } from './checkpoints/publisher.js';
import { CurrentStates } from './current-states.js';
import { AuditExportController } from './export/audit-export.controller.js';
import { AuditExports } from './export/audit-export.js';
import { History } from './history.js';
import { Integrity } from './integrity/integrity.js';
import { IntegrityController } from './integrity/integrity.controller.js';
import { SubjectChecks } from './integrity/subject-check.js';
import { LogIdentity } from './log-identity.js';
import { AuditProofsController } from './serving/audit-proofs.controller.js';
import { LogController } from './serving/log.controller.js';
import { Proofs } from './serving/proofs.js';
import { PublishedLog } from './serving/published-log.js';
import { Sealer } from './sealing/sealer.js';

@Module({
  // Paths without an id come before those with one.
  controllers: [
    AuditExportController,
    AuditController,
    AuditProofsController,
    LogController,
    IntegrityController,
  ],
  providers: [
    AuditExports,
    AuditService,
    CurrentStates,
    History,
    Integrity,
    LogIdentity,
    Proofs,
    PublishedLog,
    Publisher,
    Sealer,
    SubjectChecks,
  ],
  exports: [AuditService, CurrentStates, History, Proofs, Publisher, Sealer, SubjectChecks],
})
export class AuditModule {}
