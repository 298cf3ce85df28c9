// Drives the page in a real browser, with the keyboard alone: log in, ask, watch, reload, lose the network, return,
// approve and deny with a second browser beside; then hostile content, charts, widths, axe-core, pages of other origins,
// and the logout. Arguments: two login links, a folder for screenshots or "-". Prints JSON: what it saw.
import { createServer } from 'node:http';
import { readFileSync, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import puppeteer from 'puppeteer-core';

const [link, secondLink, shots = '-'] = process.argv.slice(2);
const browserPath = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium', '/usr/bin/google-chrome'].find(existsSync);
const base = new URL(link).origin;
const seen = {};
const browser = await puppeteer.launch({ executablePath: browserPath, args: ['--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP rebound.example 127.0.0.1'] });
const fail = async error => { console.error(error); await browser.close(); process.exit(1); };
process.on('unhandledRejection', fail);
const page = await browser.newPage();
const problems = [];
page.on('pageerror', error => problems.push(String(error)));
page.on('console', message => { if (message.type() === 'error' && !/Failed to load resource|ERR_INTERNET|WebSocket/.test(message.text())) problems.push(message.text()); });
const until = (what, ...args) => page.waitForFunction(what, { timeout: 15000, polling: 50 }, ...args);
const isIn = words => document.getElementById('log').innerText.includes(words);
const has = words => until(isIn, words);
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
await second.goto('about:blank');
await second.goto(secondLink);
await second.waitForFunction(() => document.getElementById('net').textContent === 'Connected', { timeout: 15000 });
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

// The second browser shows the same.
const openIn = async (page, name) => {
  await page.waitForFunction(name => document.querySelector(`[data-name="${name}"]`), { timeout: 15000 }, name);
  await page.evaluate(name => document.querySelector(`[data-name="${name}"]`).click(), name);
};
const session = await page.evaluate(() => JSON.parse(sessionStorage.getItem('session')));
await openIn(second, session);
await second.waitForFunction(() => document.querySelectorAll('.row.it .text').length >= 2, { timeout: 15000 });
const shown = page => page.evaluate(() => [...document.querySelectorAll('#log .text')].map(node => node.innerText));
seen.agree = JSON.stringify(await shown(page)) === JSON.stringify(await shown(second));

// Approve here and deny there: exactly what would run, and its hash, are on both.
const card = page => page.evaluate(() => ['pre', '.hash'].map(part => document.querySelector('#log .card.ask ' + part).textContent));
const asks = page => page.waitForFunction(() => document.querySelector('#log .card.ask'), { timeout: 15000 });
const asksNothing = page => page.waitForFunction(() => !document.querySelector('#log .card.ask') && document.getElementById('todo').hidden, { timeout: 15000 });
await say('please act');
await asks(page); await asks(second);
seen.asked = [await card(page), await card(second)];
await shot('approval');
await focusOn('Approve');
await page.keyboard.press('Enter');
await has('Thank you, it is done.');
await asksNothing(page); await asksNothing(second);
await say('please act');
await asks(page); await asks(second);
await focusOn('Needs you');
await page.keyboard.press('Enter');
await until(() => document.querySelector('#desk .ask pre'));
await shot('desk');
await second.evaluate(() => [...document.querySelectorAll('#log .card.ask button')].find(button => button.innerText === 'Deny').click());
await until(() => !document.querySelector('#desk .ask'));
await focusOn('Talk');
await page.keyboard.press('Enter');
await has('Then I leave it.');
await asksNothing(second);

// Hostile content is text; a word of two megabytes is cut, and the page stays connected.
await openIn(page, 'pickle.hostile');
await has('hacked=12');
await until(() => document.querySelectorAll('#log .row').length >= 2);
seen.hostile = await page.evaluate(() => ({
  ran: window.hacked ?? null,
  elements: document.querySelectorAll('#log img, #log svg, #log iframe, #log script, #log style, #log form').length,
  links: [...document.querySelectorAll('#log a')].map(link => link.protocol),
  hosts: [...document.querySelectorAll('#log .host')].map(node => node.textContent.trim()).filter(text => text.includes('evil.example')),
  title: document.getElementById('title').textContent,
}));
await shot('hostile');
await openIn(page, 'pickle.long');
await until(() => document.getElementById('log').textContent.includes('bytes more'));
seen.long = await page.evaluate(() => document.getElementById('log').textContent.length < 300000 && document.getElementById('net').textContent);

// The charts have the ledger's numbers, and differ by pattern.
await focusOn('Usage');
await page.keyboard.press('Enter');
await until(() => document.querySelectorAll('#usage svg.chart').length === 4);
await shot('usage');
seen.charts = await page.evaluate(() => [...document.querySelectorAll('#usage .data')].map(table => [...table.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.textContent).join(' '))));
seen.bars = await page.evaluate(() => [...document.querySelectorAll('#usage svg.chart')].map(chart => ['in', 'out'].map(kind => chart.querySelectorAll('rect.' + kind).length).join()));
seen.pattern = await page.evaluate(() => getComputedStyle(document.querySelector('#usage rect.out')).fill.includes('hatch'));

// Nothing is wider than a small screen.
await page.setViewport({ width: 360, height: 740 });
seen.wide = [];
for (const view of ['talk', 'list', 'desk', 'usage']) {
  await page.evaluate(view => { document.querySelector(`nav [data-view=${view === 'list' ? 'talk' : view}]`).click(); if (view === 'list') document.getElementById('back').click(); }, view);
  await until(view => document.getElementById(view).offsetParent, view);
  seen.wide.push(...await page.evaluate(view => [...document.querySelectorAll('header *, #list, #list *, #pane, #form *, .row, .msg, .card, .card > *, .chart')]
    .filter(node => node.offsetParent && node.getBoundingClientRect().right > innerWidth + 1).map(node => view + ' ' + node.outerHTML.slice(0, 80)), view));
}
await page.setViewport({ width: 1280, height: 800 });

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
// A form of another site, and the page under a name that an attacker's DNS points here.
await other.goto(`http://127.0.0.1:${foreign.address().port}/`);
const [posted] = await Promise.all([other.waitForNavigation(), other.evaluate(base => {
  const form = document.createElement('form');
  Object.assign(form, { method: 'post', action: base + '/api/decide', enctype: 'text/plain' });
  document.body.append(form);
  form.submit();
}, base)]);
seen.form = posted.status();
const rebound = await other.goto(base.replace('127.0.0.1', 'rebound.example') + '/');
seen.rebound = [rebound.status(), await other.evaluate(() => fetch('/api/state').then(answer => answer.status, () => 'refused'))];
foreign.close();

// Without JavaScript: one sentence and the command.
await other.setJavaScriptEnabled(false);
await other.goto(base + '/');
seen.plain = await (await other.$('body')).evaluate(body => body.innerText.trim());

// After the logout nothing is left in the page, and the token is none.
await focusOn('Log out');
await page.keyboard.press('Enter');
await until(() => document.getElementById('app').hidden);
seen.left = await page.evaluate(async token => [document.getElementById('log').textContent + document.getElementById('sessions').textContent + document.getElementById('desk').textContent, sessionStorage.getItem('token'),
  await fetch('/api/state', { headers: { Authorization: 'Bearer ' + token } }).then(answer => answer.status)], token);

seen.problems = problems;
await browser.close();
console.log(JSON.stringify(seen));
