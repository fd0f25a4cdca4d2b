import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Browser, chromium, type Page } from 'playwright-core';
import { startService, type TestService } from './support/service.js';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  existsSync,
);
if (CHROMIUM === undefined) {
  process.stderr.write('SKIPPED: the page at /docs was not opened, for there is no Chromium here\n');
}

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

it('/docs-json is the committed contract, in OpenAPI 3.1', async () => {
  const response = await fetch(`${service.url}/docs-json`);
  const document = (await response.json()) as { openapi: string; paths: Record<string, unknown> };
  expect(document.openapi).toBe('3.1.0');
  expect(Object.keys(document.paths)).toContain('/v1/orders/{id}/cancel');
});

(CHROMIUM === undefined ? describe.skip : describe)('the page at /docs, in a browser', () => {
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: CHROMIUM ?? '',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
      ],
    });
    page = await browser.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(`${service.url}/docs`);
    await page.waitForSelector('.opblock');
  }, 60_000);
  afterAll(() => browser.close());

  async function execute(operation: string): Promise<{ status: string; body: string }> {
    const block = page.locator(`#operations-${operation}`);
    await block.locator('.opblock-summary-control').click();
    await block.locator('button.execute').click();
    const live = block.locator('.live-responses-table .response');
    await live.waitFor();
    return {
      status: (await live.locator('.response-col_status').innerText()).trim(),
      body: await live.locator('.response-col_description .highlight-code').first().innerText(),
    };
  }

  // In an order in which each finds what the ones before have made.
  it.each([
    ['Users-Users_create', 201],
    ['Users-Users_list', 200],
    ['Users-Users_get', 200],
    ['Users-Users_update', 200],
    ['Users-Users_events', 200],
    ['Orders-Orders_place', 201],
    ['Orders-Orders_list', 200],
    ['Orders-Orders_get', 200],
    ['Orders-Orders_update', 200],
    ['Orders-Orders_cancel', 200],
    ['Orders-Orders_events', 200],
    ['Audit-Audit_list', 200],
    ['Audit-Audit_get', 200],
    ['Health-Health_ready', 200],
  ])('%s works with its example: %d', async (operation, status) => {
    const answer = await execute(operation);
    expect(answer).toMatchObject({ status: expect.stringMatching(`^${status}`) });
  });

  it('runs under the content security policy without a complaint', () => {
    expect(complaints).toEqual([]);
  });
});
