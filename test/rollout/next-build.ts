import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const ROOT = new URL('../..', import.meta.url).pathname;

/** The migration that the next build brings. */
export const NEXT_MIGRATION = 'SalesChannels9900000000000';

/** Adds only: whoever does not know the column or the table does not need to. */
const MIGRATION = `
export class ${NEXT_MIGRATION} {
  name = '${NEXT_MIGRATION}';
  async up(runner) {
    await runner.query(\`ALTER TABLE orders ADD COLUMN sales_channel text
      CONSTRAINT orders_sales_channel_check CHECK (char_length(sales_channel) <= 40)\`);
    await runner.query(\`CREATE TABLE sales_channels (name text CONSTRAINT sales_channels_pkey PRIMARY KEY)\`);
    await runner.query(\`GRANT SELECT ON sales_channels TO ordo_service\`);
  }
  async down(runner) {
    await runner.query(\`DROP TABLE sales_channels\`);
    await runner.query(\`ALTER TABLE orders DROP COLUMN sales_channel\`);
  }
}
`;

/** A copy of the build, in `folder`, that knows one migration more; answers where its programs lie. */
export async function makeNextBuild(folder: string): Promise<{ main: string; migrate: string }> {
  await mkdir(folder);
  await cp(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true });
  for (const file of ['package.json', 'openapi.json']) await cp(join(ROOT, file), join(folder, file));
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const migrations = join(folder, 'dist/migrations');
  await writeFile(join(migrations, 'next.js'), MIGRATION);
  const index = await readFile(join(migrations, 'index.js'), 'utf8');
  await writeFile(
    join(migrations, 'index.js'),
    `import { ${NEXT_MIGRATION} } from './next.js';\n${index}\nmigrations.push(${NEXT_MIGRATION});\n`,
  );
  return { main: join(folder, 'dist/src/main.js'), migrate: join(folder, 'dist/src/cli/migrate.js') };
}
