// A click in a real Chromium: node click.mjs CHROMIUM URL approve|deny. Leads on by the button of a one-time link, then decides.
import puppeteer from 'puppeteer-core';

const [executablePath, url, decision] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath, headless: true, timeout: 120_000, args: ['--no-sandbox', '--disable-gpu'] });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(120_000);
  await page.setJavaScriptEnabled(false);
  await page.goto(url);
  for (let step = 0; ; step += 1) {
    const decide = await page.$(`button[value=${decision}]`);
    const button = decide ?? await page.$('form button');
    if (!button || step > 3) throw new Error(`nothing to decide on ${page.url()}: ${await page.title()}`);
    await Promise.all([page.waitForNavigation(), button.click()]);
    if (decide) break;
  }
  console.log(await page.title());
} finally {
  await browser.close();
}
