import { Module } from '@nestjs/common';
import { AuditModule } from '../audit/audit.module.js';
import { AuthModule } from '../auth/auth.module.js';
import { OrdersModule } from '../orders/orders.module.js';
import { UsersModule } from '../users/users.module.js';
import { Erasure } from './erasure.js';
import { PersonalDataController } from './personal-data.controller.js';
import { StoredData } from './stored-data.js';
import { UserExport } from './user-export.js';

/** What a person may ask for: all that is stored about them, and its erasure. It concerns every feature. */
@Module({
  imports: [AuditModule, AuthModule, OrdersModule, UsersModule],
  controllers: [PersonalDataController],
  providers: [Erasure, StoredData, UserExport],
})
export class PersonalDataModule {}
