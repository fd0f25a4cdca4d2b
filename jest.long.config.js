import base from './jest.config.js';

/**
 * The tests that start processes, browsers or programs, or load many rows: as long again as all others together.
 *
 * @type {import('jest').Config}
 */
export default {
  ...base,
  testMatch: ['<rootDir>/test/long/**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  coverageThreshold: undefined,
};
