// An approver in a real Chromium: node browser.mjs CHROMIUM PAGES KEY. Prints one JSON object.
// With JavaScript off: signs in at the provider, opens the request, writes a note and approves by keyboard alone.
// With it on, axe looks at the pages, which carry no script of their own.
import { createRequire } from 'node:module';
import puppeteer from 'puppeteer-core';

const [executablePath, pages, key] = process.argv.slice(2);
const axe = createRequire(import.meta.url).resolve('axe-core');
const browser = await puppeteer.launch({ executablePath, headless: true, timeout: 120_000, args: ['--no-sandbox', '--disable-gpu'] });
const seen = { violations: [], blocked: [] };
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(120_000);
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) seen.blocked.push(message.text());
  });
  await page.setJavaScriptEnabled(false);
  await page.goto(`${pages}/approvals/${key}`);
  seen.before = await page.title();
  await Promise.all([page.waitForNavigation(), page.click('a.button')]);
  await page.type('input[name=login]', 'alice');
  await page.type('input[name=password]', 'x');
  await Promise.all([page.waitForNavigation(), page.click('button[type=submit]')]);
  // Consent, then back; the page in between leads on by itself.
  await Promise.all([page.waitForNavigation(), page.click('button[type=submit]')]);
  await page.waitForSelector('textarea#note');
  seen.request = await page.title();
  seen.images = (await page.$$('img')).length;

  const looked = await browser.newPage();
  looked.setDefaultTimeout(120_000);
  await looked.setBypassCSP(true);
  for (const path of [`/approvals/${key}`, '/approvals', '/approvals/none']) {
    await looked.goto(`${pages}${path}`);
    await looked.addScriptTag({ path: axe });
    const { violations } = await looked.evaluate(() => axe.run());
    seen.violations.push(...violations.map(({ id, nodes }) => `${path}: ${id}: ${nodes[0].html}`));
  }
  await looked.close();

  await page.bringToFront();
  await page.focus('textarea#note');
  await page.keyboard.type('as agreed');
  await page.keyboard.press('Tab');
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  seen.after = await page.title();
  await page.goto(`${pages}/approvals`);
  seen.list = await page.$eval('main', (main) => main.textContent);
  const cookies = await browser.cookies();
  const session = cookies.find((cookie) => cookie.name === 'aplomb_session');
  seen.cookie = { httpOnly: session.httpOnly, sameSite: session.sameSite };
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
