import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Browser, chromium, type Page } from 'playwright-core';
import { createKey, signIn } from '../support/people.js';
import { ADMIN_EMAIL, ADMIN_PASSWORD, startService, type TestService } from '../support/service.js';

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
    page = await open();
  }, 60_000);
  afterAll(() => browser.close());

  /** The page as somebody finds it who was never here before. */
  async function open(): Promise<Page> {
    const opened = await browser.newPage();
    opened.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    opened.on('pageerror', (error) => complaints.push(error.message));
    await opened.goto(`${service.url}/docs`);
    await opened.waitForSelector('.opblock');
    return opened;
  }

  /** Executes an operation with its example, or with another body. */
  async function execute(
    operation: string,
    { on = page, body }: { on?: Page; body?: object } = {},
  ): Promise<{ status: string; body: string }> {
    const block = on.locator(`#operations-${operation}`);
    await block.locator('.opblock-summary-control').click();
    if (body !== undefined) await block.locator('textarea.body-param__text').fill(JSON.stringify(body));
    await block.locator('button.execute').click();
    const live = block.locator('.live-responses-table .response');
    await live.waitFor();
    return {
      status: (await live.locator('.response-col_status').innerText()).trim(),
      body: await live.locator('.response-col_description .highlight-code').first().innerText(),
    };
  }

  /** Fills in the dialog behind the button "Authorize", and closes it. */
  async function authorize(on: Page, scheme: string, credential: string): Promise<void> {
    await on.locator('.scheme-container button.authorize').click();
    const form = on.locator('.auth-container', { hasText: `${scheme} (http, Bearer)` });
    await form.locator('input').fill(credential);
    await form.locator('button.authorize').click();
    await on.locator('.dialog-ux button.close-modal').click();
  }

  it('whoever signs in by executing the operation stays signed in', async () => {
    const signedIn = await execute('Auth-Auth_login', {
      body: { email: ADMIN_EMAIL, password: ADMIN_PASSWORD },
    });
    expect(signedIn).toMatchObject({ status: expect.stringMatching(/^200/) });
    const me = await execute('Users-Users_me');
    expect(me.status).toMatch(/^200/);
    expect(me.body).toContain(`"email": "${ADMIN_EMAIL}"`);
  });

  it.each([
    ['Orders-Orders_place', 201],
    ['Orders-Orders_get', 200],
    ['Orders-OrderCommands_pay', 200],
  ])('%s works with its example: %d', async (operation, status) => {
    expect(await execute(operation)).toMatchObject({ status: expect.stringMatching(`^${status}`) });
  });

  it('an export is a file to save', async () => {
    const block = page.locator('#operations-Orders-OrderExport_export');
    await block.locator('.opblock-summary-control').click();
    await block.locator('tr[data-param-name="format"] select').selectOption('csv');
    await block.locator('button.execute').click();
    const live = block.locator('.live-responses-table .response');
    await live.locator('a', { hasText: 'Download file' }).waitFor();
    expect(await live.locator('.response-col_status').innerText()).toMatch(/^200/);
  });

  it('the dialog takes an access token, and after it an API key', async () => {
    const { accessToken } = await signIn(service, ADMIN_EMAIL, ADMIN_PASSWORD);
    const key = await createKey(service, ['users:read']);
    const on = await open();
    for (const [scheme, credential] of [
      ['accessToken', accessToken],
      ['apiKey', key],
    ] as const) {
      await authorize(on, scheme, credential);
      const sent = on.waitForRequest((request) => new URL(request.url()).pathname === '/v1/users');
      const users = await execute('Users-Users_list', { on });
      expect((await sent).headers()).toMatchObject({ authorization: `Bearer ${credential}` });
      expect(users.status).toMatch(/^200/);
      expect(users.body).toContain(ADMIN_EMAIL);
      await on.locator('.scheme-container button.authorize').click();
      await on.locator('.auth-container button.auth.btn', { hasText: 'Logout' }).click();
      await on.locator('.dialog-ux button.close-modal').click();
      await on.locator('#operations-Users-Users_list .opblock-summary-control').click();
    }
    await on.close();
  });

  it('runs under the content security policy without a complaint', () => {
    expect(complaints).toEqual([]);
  });
});
