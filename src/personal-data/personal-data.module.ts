import { Module } from '@nestjs/common';
import { AuditModule } from '../audit/audit.module.js';
import { OrdersModule } from '../orders/orders.module.js';
import { UsersModule } from '../users/users.module.js';
import { PersonalDataController } from './personal-data.controller.js';
import { StoredData } from './stored-data.js';
import { UserExport } from './user-export.js';

/** What a person may ask for: all that is stored about them. It concerns every feature. */
@Module({
  imports: [AuditModule, OrdersModule, UsersModule],
  controllers: [PersonalDataController],
  providers: [StoredData, UserExport],
})
export class PersonalDataModule {}
