import { Injectable } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { Publisher } from '../audit/checkpoints/publisher.js';
import { Sealer } from '../audit/sealing/sealer.js';

/** What probes read about the audit log. It never makes the service unready: orders go on, and are sealed later. */
@Injectable()
export class LogHealth {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly sealer: Sealer,
    private readonly publisher: Publisher,
  ) {}

  /** Always up; says how much is unsealed, and why nothing is sealed or signed where that is so. */
  state(): HealthIndicatorResult {
    const { unsealed } = this.sealer;
    return this.indicators.check('auditLog').up({
      ...(unsealed && { unsealed: unsealed.events, oldestUnsealedSeconds: unsealed.oldestSeconds }),
      sealing: stateOf(this.sealer),
      signing: stateOf(this.publisher),
    });
  }
}

function stateOf({ isOn, trouble, isContradicted }: Sealer | Publisher): string {
  if (!isOn) return 'off';
  if (trouble === undefined) return 'goes on';
  return isContradicted ? `refused until a restart: ${trouble}` : `stopped: ${trouble}`;
}
