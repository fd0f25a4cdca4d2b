/** Texts that `npm run check -- sql` has to complain of, each as it says here. */
declare const database: { query(sql: string, values?: readonly unknown[]): void };
declare class Statement {
  constructor(name: string, text: string);
  run(on: typeof database, values: readonly unknown[]): void;
}
declare const anything: string;

database.query('SELECT emial FROM users'); // column "emial" does not exist
database.query('SELECT FROM userz'); // relation "userz" does not exist
database.query('SELECT FROM users WHERE id = $1::integer', [1]); // operator does not exist: uuid = integer
database.query('SELECT upcase(name) FROM users'); // function upcase(text) does not exist
database.query('DELETE FROM audit_events'); // permission denied for table audit_events
database.query('SELECT FROM users WHERE name = $1'); // has parameters up to $1, but 0 values
database.query(`SELECT FROM users WHERE ${anything}`); // is composed at run time, but not run by scripts/composed-sql.mjs

const TABLE = 'users';
function find(condition: string): void {
  database.query(`SELECT FROM ${TABLE} WHERE ${condition}`); // column "nmae" does not exist
}
find(`name = ''`);
find(`nmae = ''`);

const BY_NAME = new Statement('by name', 'SELECT FROM users WHERE name = $1'); // has parameters up to $1, but 2 values
BY_NAME.run(database, ['', '']);
