import { parseArgs } from 'node:util';
import { type WorkloadName, workloadNames } from './workloads.js';

export const peers = ['nest-typeorm', 'fastify-pg'] as const;
export const floors = ['node-http', 'postgresql'] as const;

/** Who is measured: the service, the peers it is compared with, and the floors below which nobody can get. */
export type ContenderName = 'ordo' | (typeof peers)[number] | (typeof floors)[number];

/** What the command line asks for; times in seconds. */
export interface Options {
  readonly workloads: readonly WorkloadName[];
  readonly connections: readonly number[];
  readonly peers: readonly ContenderName[];
  readonly rounds: number;
  readonly duration: number;
  readonly warmUp: number;
  readonly orders: number;
  /** Starts of the service, to see how soon it is ready. */
  readonly starts: number;
  readonly json: string | undefined;
  readonly markdown: string | undefined;
  readonly note: string | undefined;
  readonly profile: boolean;
  readonly overload: boolean;
}

export const USAGE = `npm run bench -- [options]

  --quick              less than a second for each measurement: all in about four minutes
  --workload NAME      only this one of ${workloadNames.join(', ')}; may be given again
  --peer NAME          only this one of ${[...peers, ...floors].join(', ')} beside the service; may be given again
  --connections N      instead of 1 and 64; may be given again
  --rounds N           measurements of each contender, of which the median counts (3)
  --duration SECONDS   of a measurement (10; 0.8 with --quick)
  --warm-up SECONDS    before each measurement (3; 0.25 with --quick)
  --orders N           orders and users to read from (10000)
  --starts N           starts of the service, to see how soon it is ready (10; 3 with --quick)
  --json FILE          writes the result as JSON
  --markdown FILE      writes the tables, with machine and commit
  --note TEXT          a remark for --json and --markdown, such as what else the machine was doing
  --profile            runs the service under --cpu-prof and tells where the profile lies
  --overload           instead of all that: what is left of the placements at three times the load`;

/** Reads the command line; throws `TypeError` that says what is wrong with it. */
export function readOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      workload: { type: 'string', multiple: true, default: [...workloadNames] },
      peer: { type: 'string', multiple: true, default: [...peers, ...floors] },
      connections: { type: 'string', multiple: true, default: ['1', '64'] },
      rounds: { type: 'string', default: '3' },
      duration: { type: 'string' },
      'warm-up': { type: 'string' },
      orders: { type: 'string', default: '10000' },
      starts: { type: 'string' },
      json: { type: 'string' },
      markdown: { type: 'string' },
      note: { type: 'string' },
      profile: { type: 'boolean', default: false },
      overload: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  return {
    workloads: values.workload.map((name) => oneOf('workload', workloadNames, name)),
    connections: values.connections.map((text) => Math.ceil(positive('connections', text))),
    peers: values.peer.map((name) => oneOf('peer', [...peers, ...floors], name)),
    rounds: Math.ceil(positive('rounds', values.rounds)),
    duration: positive('duration', values.duration ?? (values.quick ? '0.8' : '10')),
    warmUp: positive('warm-up', values['warm-up'] ?? (values.quick ? '0.25' : '3')),
    orders: Math.ceil(positive('orders', values.orders)),
    starts: Math.ceil(positive('starts', values.starts ?? (values.quick ? '3' : '10'))),
    json: values.json,
    markdown: values.markdown,
    note: values.note,
    profile: values.profile,
    overload: values.overload,
  };
}

function oneOf<T extends string>(option: string, names: readonly T[], given: string): T {
  const name = names.find((each) => each === given);
  if (name === undefined) throw new TypeError(`--${option} is one of ${names.join(', ')}`);
  return name;
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new TypeError(`--${option} takes a number above 0`);
  return value;
}
