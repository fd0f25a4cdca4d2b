// Keeps README's table of environment variables equal to the schema that the service reads.
//
//   --check   fails and shows the lines that differ
//   --write   rewrites the table between the two markers
import { readFileSync, writeFileSync } from 'node:fs';

const { variables } = await import('../dist/src/config/variables.js');

const begin = '<!-- variables:begin -->';
const end = '<!-- variables:end -->';
const readme = new URL('../README.md', import.meta.url);

// Prettier would pad every cell to the longest one of its column.
function table() {
  const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  const rows = Object.entries(variables).map(
    ([name, { default: value, description }]) =>
      `| \`${name}\` | ${cell(value) || '-'} | ${cell(description)} |`,
  );
  return [
    '<!-- prettier-ignore -->',
    '| Variable | Default | Meaning |',
    '| --- | --- | --- |',
    ...rows,
  ].join('\n');
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

const text = readFileSync(readme, 'utf8');
const from = text.indexOf(begin);
const to = text.indexOf(end);
if (from === -1 || to < from) fail(`README.md has no ${begin} ... ${end}`);

const found = text.slice(from + begin.length, to).trim();
const wanted = table();

if (process.argv.includes('--write')) {
  writeFileSync(readme, `${text.slice(0, from + begin.length)}\n\n${wanted}\n\n${text.slice(to)}`);
} else if (found !== wanted) {
  const [foundLines, wantedLines] = [found.split('\n'), wanted.split('\n')];
  for (const line of foundLines) if (!wantedLines.includes(line)) console.error(`- ${line}`);
  for (const line of wantedLines) if (!foundLines.includes(line)) console.error(`+ ${line}`);
  fail("README's table of variables differs: node scripts/check-readme.mjs --write");
}
