import { Global, Module } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { Reflector } from '@nestjs/core';
import { getOptionsToken, getStorageToken } from '@nestjs/throttler';
import { Counters } from './counters.js';
import { EventAllowance } from './event-allowance.js';
import { SignInLimit } from './sign-in-limit.js';
import { CounterStorage } from './throttle.guard.js';
import { throttling } from './throttling.js';

const options = { provide: getOptionsToken(), useFactory: throttling, inject: [ConfigService, Reflector] };
const storage = { provide: getStorageToken(), useClass: CounterStorage };

/** How much callers may send, try and cause. */
@Global()
@Module({
  providers: [Counters, EventAllowance, SignInLimit, options, storage],
  exports: [EventAllowance, SignInLimit, options, storage],
})
export class LimitsModule {}
