import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const processEnv = {
  object: 'process',
  property: 'env',
  message: 'Only src/config reads the environment; take the configuration instead.',
};
const doubleCast = {
  selector: 'TSAsExpression > TSAsExpression.expression[typeAnnotation.type="TSUnknownKeyword"]',
  message: '`as unknown as` hides a wrong type: narrow the value or fix its type.',
};
const envImport = {
  selector: 'ImportDeclaration[source.value=/^(node:)?process$/]',
  message: 'Use the global `process`, so that reads of its environment are seen.',
};

export default defineConfig(
  { ignores: ['dist/', 'coverage/', '.ordo/', 'node_modules/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error', reportUnusedInlineConfigs: 'error' } },

  {
    files: ['**/*.ts'],
    extends: [js.configs.recommended, tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      eqeqeq: 'error',
      complexity: ['error', 15],
      'max-depth': ['error', 4],
      'max-lines': ['error', { max: 300 }],
      'no-console': 'error',
      'no-restricted-properties': ['error', processEnv],
      'no-restricted-syntax': ['error', doubleCast, envImport],

      // Off, and to stay off: with emitDecoratorMetadata an `import type` of an injected class leaves
      // Nest's constructor injection without the class.
      '@typescript-eslint/consistent-type-imports': 'off',

      // Entities and DTOs are plain rows: they are written as literals and spread, never instantiated.
      '@typescript-eslint/no-misused-spread': 'off',
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      // Knows no `Promise.withResolvers<void>()`.
      '@typescript-eslint/no-invalid-void-type': 'off',

      '@typescript-eslint/max-params': ['error', { max: 6 }],
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', ignoreRestSiblings: true }],
      '@typescript-eslint/prefer-readonly': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // `return transaction()` inside try must be awaited, or its failure escapes the catch.
      '@typescript-eslint/return-await': ['error', 'in-try-catch'],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
    },
  },

  { files: ['src/config/**'], rules: { 'no-restricted-properties': 'off' } },
  { files: ['src/cli/**'], rules: { 'no-console': 'off' } },
  {
    files: ['bench/**/*.ts'],
    rules: {
      'no-console': 'off',
      'no-restricted-properties': 'off',
      // Fastify's plugins and hooks are async whether they wait or not.
      '@typescript-eslint/require-await': 'off',
    },
  },

  {
    // Answers of HTTP calls are `any`, and the assertions on them are their check.
    files: ['test/**/*.ts'],
    rules: {
      'max-lines': 'off',
      'no-restricted-properties': 'off',
      'no-restricted-syntax': ['error', envImport],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },

  {
    files: ['**/*.{js,mjs,cjs}'],
    extends: [js.configs.recommended],
    languageOptions: {
      globals: {
        console: 'readonly',
        process: 'readonly',
        AbortController: 'readonly',
        Buffer: 'readonly',
        URL: 'readonly',
        performance: 'readonly',
        module: 'writable',
      },
    },
    rules: { eqeqeq: 'error', complexity: ['error', 15], 'max-lines': ['error', { max: 300 }] },
  },
);
