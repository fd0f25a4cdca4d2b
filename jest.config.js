/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.spec.ts'],
  // They take minutes: see jest.long.config.js and jest.opt-in.config.js.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/(long|rollout|neighbours)/'],
  roots: ['<rootDir>/src', '<rootDir>/migrations', '<rootDir>/test'],
  globalSetup: './test/support/global-setup.mjs',
  globalTeardown: './test/support/global-teardown.mjs',

  extensionsToTreatAsEsm: ['.ts'],
  // Sources import './x.js', as Node wants it; on disk it is x.ts.
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        sourceMaps: 'inline',
        module: { type: 'es6' },
        jsc: {
          target: 'es2024',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
          keepClassNames: true,
        },
      },
    ],
  },

  // @nestjs/throttler is CommonJS: it requires Nest, which Jest must have loaded by then.
  setupFiles: ['@nestjs/common', '@nestjs/core'],

  testTimeout: 60_000,
  maxWorkers: 2,

  // Only with --coverage, of these tests alone. Left out: what runs as a process of its own, where Jest cannot look.
  coverageProvider: 'babel', // counts statements; v8 also counts blank and comment lines as covered
  coverageDirectory: 'coverage',
  coverageReporters: ['text', 'lcov'],
  collectCoverageFrom: ['src/**/*.ts', '!src/{main,run,serve}.ts', '!src/cli/**'],
  coverageThreshold: { global: { lines: 85 } },
};
