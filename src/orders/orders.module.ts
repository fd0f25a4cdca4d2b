import { Module, type OnModuleInit } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuditModule } from '../audit/audit.module.js';
import { SubjectChecks } from '../audit/integrity/subject-check.js';
import { OrderBatchController } from './batch.controller.js';
import { OrderBatch } from './batch.js';
import { OrderExportController } from './export.controller.js';
import { OrderExports } from './export.js';
import { checkLifeCycle } from './life-cycle.js';
import { OrderCommands } from './order-commands.js';
import { OrderCommandsController } from './order-commands.controller.js';
import { Order, OrderLine } from './order.entity.js';
import { orderCheck } from './order.integrity.js';
import { OrderProofsController } from './order-proofs.controller.js';
import { OrdersController } from './orders.controller.js';
import { OrdersService } from './orders.service.js';
import { Placing } from './placing.js';

@Module({
  imports: [TypeOrmModule.forFeature([Order, OrderLine]), AuditModule],
  // Paths without an id come first in the contract, too.
  controllers: [
    OrderBatchController,
    OrderExportController,
    OrdersController,
    OrderCommandsController,
    OrderProofsController,
  ],
  providers: [OrderBatch, OrderCommands, OrderExports, OrdersService, Placing],
})
export class OrdersModule implements OnModuleInit {
  constructor(private readonly checks: SubjectChecks) {}

  onModuleInit(): void {
    checkLifeCycle();
    this.checks.register(orderCheck);
  }
}
