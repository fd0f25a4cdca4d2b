import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Batches } from '../src/database/batches.js';
import { Problem } from '../src/problems/problem.js';
import { eventually } from './support/process.js';

const LIMITS: ConstructorParameters<typeof Batches>[1] = {
  name: 'test',
  inFlight: 2,
  weight: 3,
  waiting: 100,
};

/** Batches whose runs end when the test says so. */
function heldBatches(limits = LIMITS) {
  const runs: { inputs: readonly number[]; end: () => void; fail: (error: Error) => void }[] = [];
  const batches = new Batches<number, string>(
    (inputs) =>
      new Promise((resolve, reject) => {
        runs.push({ inputs, end: () => resolve(inputs.map(String)), fail: reject });
      }),
    limits,
  );
  return { batches, runs, inputs: () => runs.map((run) => run.inputs) };
}

/** Lets batches that may start do so. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await setImmediate();
}

describe('batches', () => {
  it('put together what arrives together, and what arrives while as many as allowed are under way', async () => {
    const { batches, runs, inputs } = heldBatches();
    const first = [1, 2].map((input) => batches.add(input));
    await settle();
    const second = [batches.add(3)];
    await settle();
    const later = [4, 5, 6, 7].map((input) => batches.add(input));
    await settle();
    expect(inputs()).toEqual([[1, 2], [3]]);
    expect(batches.waiting).toBe(4);
    runs[0]?.end();
    expect(await Promise.all(first)).toEqual(['1', '2']);
    await settle();
    expect(inputs()).toEqual([[1, 2], [3], [4, 5, 6]]);
    runs[1]?.end();
    await settle();
    runs[2]?.end();
    runs[3]?.end();
    expect(await Promise.all([...second, ...later])).toEqual(['3', '4', '5', '6', '7']);
  });

  it('begin beside one that is under way for as long as told, and not before', async () => {
    const patient = heldBatches({ ...LIMITS, besideAfterMs: 3_600_000 });
    void patient.batches.add(1);
    await settle();
    void patient.batches.add(2);
    await settle();
    expect(patient.inputs()).toEqual([[1]]);
    const { batches, inputs } = heldBatches({ ...LIMITS, besideAfterMs: 1 });
    void batches.add(1);
    await settle();
    void batches.add(2);
    await eventually(async () => {
      await settle();
      expect(inputs()).toEqual([[1], [2]]);
    });
    void batches.add(3);
    await settle();
    expect(inputs().length).toBe(2);
  });

  it('give each its output although that of another is still to come', async () => {
    const batches = new Batches<number, string | Promise<string>>(
      (inputs) => Promise.resolve(inputs.map((input) => (input === 1 ? Promise.race([]) : `${input}`))),
      LIMITS,
    );
    void batches.add(1);
    expect(await Promise.all([2, 3, 4].map((input) => batches.add(input)))).toEqual(['2', '3', '4']);
  });

  it('ask the database anew before they tell those who have waited', async () => {
    const events: string[] = [];
    const batches = new Batches<number, number>(
      async (inputs) => {
        // As a connection is got from the pool.
        await new Promise<void>((resolve) => process.nextTick(resolve));
        events.push(`asked ${inputs.join()}`);
        await settle();
        return inputs;
      },
      { ...LIMITS, inFlight: 1, weight: 1 },
    );
    const told = (output: number) => events.push(`told ${output}`);
    await Promise.all([1, 2].map(async (input) => told(await batches.add(input))));
    expect(events).toEqual(['asked 1', 'asked 2', 'told 1', 'told 2']);
  });

  it('look what has come meanwhile while they tell those who have waited', async () => {
    const { batches, runs } = heldBatches({ ...LIMITS, weight: 100, toldAtOnce: 2 });
    const told: number[] = [];
    const answers = [1, 2, 3, 4, 5].map((input) => batches.add(input).then(() => told.push(input)));
    await settle();
    runs[0]?.end();
    await answers[0];
    expect(told).toEqual([1, 2]);
    await setImmediate();
    expect(told).toEqual([1, 2, 3, 4]);
    await Promise.all(answers);
    expect(told).toEqual([1, 2, 3, 4, 5]);
  });

  it('hold what weighs no more than allowed, or a single input', async () => {
    const seen: number[][] = [];
    const batches = new Batches<number, number>(
      (inputs) => {
        seen.push([...inputs]);
        return Promise.resolve(inputs);
      },
      { name: 'test', inFlight: 1, weight: 10, waiting: 100, weigh: (input) => input },
    );
    await Promise.all([4, 6, 1, 50, 9, 2].map((input) => batches.add(input)));
    expect(seen).toEqual([[4, 6], [1], [50], [9], [2]]);
  });

  it('refuse what is too much to wait for, and take more once there is room', async () => {
    const { batches, runs } = heldBatches({ name: 'test', inFlight: 1, weight: 1, waiting: 2 });
    const [running] = [batches.add(0)];
    await settle();
    const waiting = [batches.add(1), batches.add(2)];
    const refused = await batches.add(3).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Problem);
    expect(refused).toMatchObject({ status: 503, headers: { 'Retry-After': '1' } });
    runs[0]?.end();
    await running;
    await settle();
    waiting.push(batches.add(4));
    for (let index = 1; index < 4; index++) {
      runs[index]?.end();
      await settle();
    }
    expect(await Promise.all(waiting)).toEqual(['1', '2', '4']);
  });

  it('fail alone: whoever is in another batch gets an answer', async () => {
    const { batches, runs } = heldBatches();
    const doomed = [1, 2, 3].map((input) => batches.add(input));
    const outcomes = Promise.allSettled(doomed);
    const sound = batches.add(4);
    await settle();
    const reason = new Error('the database is away');
    runs[0]?.fail(reason);
    runs[1]?.end();
    expect(await outcomes).toEqual(doomed.map(() => ({ status: 'rejected', reason })));
    expect(await sound).toBe('4');
  });

  it('owe one output for each input', async () => {
    const batches = new Batches<number, number>(() => Promise.resolve([1]), LIMITS);
    await expect(Promise.all([batches.add(1), batches.add(2)])).rejects.toThrow('one output for each input');
  });

  it('give each input its own output, in any mix of arrivals, failures and limits', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ fails: fc.boolean(), pause: fc.integer({ min: 0, max: 3 }) }), {
          maxLength: 60,
        }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 7 }),
        async (arrivals, inFlight, weight, toldAtOnce) => {
          let underWay = 0;
          const batches = new Batches<number, number>(
            async (inputs) => {
              expect(inputs.length).toBeLessThanOrEqual(weight);
              expect(++underWay).toBeLessThanOrEqual(inFlight);
              await setImmediate();
              underWay--;
              if (inputs.some((input) => arrivals[input]?.fails)) throw new Error(inputs.join());
              return inputs.map((input) => input * 2);
            },
            { name: 'test', inFlight, weight, toldAtOnce, waiting: 1_000 },
          );
          const answers: Promise<unknown>[] = [];
          for (const [input, { pause }] of arrivals.entries()) {
            for (let turn = 0; turn < pause; turn++) await setImmediate();
            answers.push(batches.add(input).catch((error: unknown) => String(error)));
          }
          for (const [input, answer] of (await Promise.all(answers)).entries()) {
            if (typeof answer === 'number') expect(answer).toBe(input * 2);
            else expect(`,${String(answer).replace('Error: ', '')},`).toContain(`,${input},`);
          }
          expect([underWay, batches.waiting]).toEqual([0, 0]);
        },
      ),
    );
  });
});
