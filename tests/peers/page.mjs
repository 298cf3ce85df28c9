// Drives the page in a real browser, with the keyboard alone: log in, ask, watch, approve, reload, lose the network,
// return; then axe-core, and a page of another origin. Arguments: the login link, the control script's URL or "-", a
// folder for screenshots or "-". Prints JSON: what it saw.
import { createServer } from 'node:http';
import { readFileSync, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import puppeteer from 'puppeteer-core';

const [link, shots = '-', commands = ''] = process.argv.slice(2);
const browserPath = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium', '/usr/bin/google-chrome'].find(existsSync);
const base = new URL(link).origin;
const seen = {};
const browser = await puppeteer.launch({ executablePath: browserPath, args: ['--no-sandbox', '--disable-gpu'] });
const fail = async error => { console.error(error); await browser.close(); process.exit(1); };
process.on('unhandledRejection', fail);
const page = await browser.newPage();
const problems = [];
page.on('pageerror', error => problems.push(String(error)));
page.on('console', message => { if (message.type() === 'error' && !/Failed to load resource|ERR_INTERNET|WebSocket/.test(message.text())) problems.push(message.text()); });
const text = () => page.evaluate(() => document.body.innerText);
const until = (what, ...args) => page.waitForFunction(what, { timeout: 15000, polling: 50 }, ...args);
const has = words => until(words => document.getElementById('log').innerText.includes(words), words);
const focusOn = async (what) => {
  for (let n = 0; n < 80; n++) {
    if (await page.evaluate(what => { const a = document.activeElement; return a && (a.innerText || a.getAttribute('aria-label') || a.placeholder || a.id || '').trim().startsWith(what); }, what)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error('the keyboard does not reach ' + what);
};
const say = async words => { await focusOn('Write a message'); await page.keyboard.type(words); await page.keyboard.press('Enter'); };
const shot = async name => {
  if (shots === '-') return;
  for (const scheme of ['light', 'dark']) for (const width of [360, 1280]) {
    await page.setViewport({ width, height: width === 360 ? 740 : 800, deviceScaleFactor: 1 });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await new Promise(done => setTimeout(done, 150));
    await page.screenshot({ path: `${shots}/${name}-${scheme}-${width}.png` });
  }
  await page.setViewport({ width: 1280, height: 800 });
};
await page.setViewport({ width: 1280, height: 800 });

// Log in. The code leaves the address at once, and works only once.
await page.goto(link);
await until(() => document.getElementById('net').textContent === 'Connected');
seen.address = page.url();
seen.cookies = (await page.cookies()).length;
const again = await browser.createBrowserContext();
const second = await again.newPage();
await second.goto(link);
await second.waitForFunction(() => !document.getElementById('why').hidden, { timeout: 15000 });
seen.second = await second.evaluate(() => document.getElementById('why').textContent);
seen.paint = await page.evaluate(() => Math.round(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1));
await shot('empty');

// Ask, and watch.
await say('remember that the printer is in the **attic**');
await has('You ·');
await until(() => document.querySelectorAll('.row.it .text').length >= 1);
seen.answered = await page.evaluate(() => document.querySelector('.row.it .text').innerText);
// Reload: the conversation is there again, once.
await page.reload();
await has('attic');
await until(() => document.getElementById('net').textContent === 'Connected');
seen.once = await page.evaluate(() => document.querySelectorAll('.row.me').length);

// Lose the network, write, return.
await page.setOfflineMode(true);
await page.evaluate(() => dispatchEvent(new Event('offline')));
await until(() => document.getElementById('net').textContent.startsWith('No connection'));
await say('Where is the printer?');
await has('Not sent yet');
await shot('offline');
await page.reload().catch(() => {});
await page.setOfflineMode(false);
await page.goto(base + '/').catch(() => {});
await until(() => document.querySelectorAll('.row.it .text').length >= 2);
await until(() => !document.getElementById('log').innerText.includes('Sent') && !document.getElementById('log').innerText.includes('Working'));
seen.messages = await page.evaluate(() => [...document.querySelectorAll('.row.me .text')].map(node => node.innerText));
await shot('talk');

// Approve: exactly what would run is on the page.
if (commands.includes('approve')) {
  await focusOn('Needs you');
  await page.keyboard.press('Enter');
  await until(() => document.querySelector('#desk .ask pre'));
  seen.approval = await page.evaluate(() => document.querySelector('#desk .ask pre').innerText);
  seen.hash = await page.evaluate(() => document.querySelector('#desk .hash').innerText);
  await shot('desk');
  await focusOn('Approve');
  await page.keyboard.press('Enter');
  await until(() => !document.querySelector('#desk .ask'));
  seen.approved = true;
}
await focusOn('Usage');
await page.keyboard.press('Enter');
await until(() => document.querySelectorAll('#usage svg rect').length > 2);
await shot('usage');

// axe-core: no serious or critical finding on any view. It is evaluated over the debugger, which the policy permits.
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
seen.axe = [];
for (const scheme of ['light', 'dark']) for (const view of ['Talk', 'Needs you', 'Usage']) {
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await focusOn(view);
  await page.keyboard.press('Enter');
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  seen.axe.push(...found.violations.filter(v => ['serious', 'critical'].includes(v.impact)).map(v => `${view} ${scheme}: ${v.id} ${v.nodes[0].html.slice(0, 200)} ${v.nodes[0].failureSummary.slice(0, 200)}`));
}

// A page of another origin can neither connect, post, frame nor read.
const foreign = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<title>other</title>')).listen(0, '127.0.0.1');
await new Promise(done => foreign.on('listening', done));
const other = await browser.newPage();
await other.goto(`http://127.0.0.1:${foreign.address().port}/`);
const token = await page.evaluate(() => JSON.parse(sessionStorage.getItem('token')));
seen.foreign = await other.evaluate(async (base, token) => {
  const outcome = work => work().then(() => 'possible', () => 'refused');
  const socket = await new Promise(done => {
    const socket = new WebSocket(base.replace('http', 'ws') + '/ws');
    socket.onopen = () => done('possible');
    socket.onerror = () => done('refused');
  });
  const read = await outcome(() => fetch(base + '/api/state', { headers: { Authorization: 'Bearer ' + token } }));
  const page = await outcome(() => fetch(base + '/'));
  const post = await fetch(base + '/api/login', { method: 'POST', mode: 'no-cors', body: '{"code":"x"}' }).then(r => r.type, () => 'refused');
  const frame = document.createElement('iframe');
  frame.src = base + '/';
  document.body.append(frame);
  await new Promise(done => { frame.onload = done; setTimeout(done, 2000); });
  let framed; try { framed = frame.contentDocument ? 'blank' : 'refused'; } catch { framed = 'refused'; }
  return { socket, read, page, post, framed, cookie: document.cookie };
}, base, token);
seen.frameUrl = other.frames().slice(1).map(frame => frame.url()).join();
foreign.close();

seen.problems = problems;
await browser.close();
console.log(JSON.stringify(seen));
