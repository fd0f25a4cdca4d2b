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

  it.each([
    ['Users-Users_create', 201],
    ['Orders-Orders_place', 201],
    ['Orders-Orders_get', 200],
  ])('%s works with its example: %d', async (operation, status) => {
    expect(await execute(operation)).toMatchObject({ status: expect.stringMatching(`^${status}`) });
  });

  it('runs under the content security policy without a complaint', () => {
    expect(complaints).toEqual([]);
  });
});
