import { Injectable } from '@nestjs/common';

/** Whether the process is on its way out: not ready any more, and every answer closes its connection. */
@Injectable()
export class Drain {
  private begun = false;

  get isDraining(): boolean {
    return this.begun;
  }

  begin(): void {
    this.begun = true;
  }
}
