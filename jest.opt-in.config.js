import base from './jest.config.js';

/**
 * Tests that take minutes, need programs of the system, or put a whole deployment to the test. They start databases of
 * their own, durable ones.
 *
 * @type {import('jest').Config}
 */
export default {
  ...base,
  testMatch: ['<rootDir>/test/{rollout,neighbours}/**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  globalSetup: './test/neighbours/programs.mjs',
  globalTeardown: undefined,
  testTimeout: 300_000,
  maxWorkers: 1,
  // All is over and told by then; Node.js 24 was seen to turn round for ever while it cleared up after a test of an update.
  forceExit: true,
  coverageThreshold: undefined,
};
