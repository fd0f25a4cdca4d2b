// A process that seals the log of the database in its first argument until it is killed. Says `ready` when it begins.
import { DataSource } from 'typeorm';
import { seal } from '../../dist/src/audit/sealing/seal.js';
import { dataSourceOptions } from '../../dist/src/database/data-source.js';

const dataSource = await new DataSource(dataSourceOptions(process.argv[2], 1)).initialize();
console.log('ready');
for (;;) {
  // A rival was faster, or somebody has ended the connection.
  await seal(dataSource).catch(() => undefined);
}
