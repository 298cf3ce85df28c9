// The page in a headless browser: bytes over the wire and the first paint, of a new page each time, after one to warm up.
// The workspace has 200 conversations.
//
//   node benches/page_paint.mjs CLAW [LOADS]
//
// CLAW is the program to be measured. Needs puppeteer-core (`npm ci` in tests/peers) and chromium-headless-shell.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, appendFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const peers = createRequire(new URL('../tests/peers/page.mjs', import.meta.url));
const { default: puppeteer } = await import(peers.resolve("puppeteer-core"));
const [claw, loads = '20'] = process.argv.slice(2);
const folder = mkdtempSync(`${tmpdir()}/claw-paint-`);
const env = { ...process.env, HOME: folder, USER: 'ann', CLAW_WORKSPACE: folder };
const run = (...args) => execFileSync(claw, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
run('init', folder);
appendFileSync(`${folder}/claw.yaml`, "\nsync: none\nchannels:\n  web: {listen: '127.0.0.1:0'}\n");
for (let n = 0; n < 200; n++) run('send', '--session', `pickle.c${n}`, `Note ${n} of this bench`);
run('tick');
const listener = spawn(claw, ['listen', 'web'], { env, stdio: 'ignore' });
const page = async () => { for (let n = 0; n < 100; n++) { try { return run('page').trim(); } catch { await sleep(100); } } throw new Error('no listener'); };
const browserPath = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium', '/usr/bin/google-chrome'].find(existsSync);
const browser = await puppeteer.launch({ executablePath: browserPath, args: ['--no-sandbox', '--disable-gpu'] });
const first = [], listed = [];
let bytes = 0;
try {
  for (let n = 0; n <= Number(loads); n++) {
    const context = await browser.createBrowserContext();
    const tab = await context.newPage();
    const session = await tab.createCDPSession();
    await session.send('Network.enable');
    const sizes = new Map();
    session.on('Network.responseReceived', event => event.type === 'Document' && sizes.set(event.requestId, 0));
    session.on('Network.loadingFinished', event => sizes.has(event.requestId) && sizes.set(event.requestId, event.encodedDataLength));
    await tab.goto(await page());
    await tab.waitForFunction(() => document.querySelectorAll('#sessions button').length >= 100, { timeout: 30000 });
    const [paint, now] = await tab.evaluate(() => [performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN, performance.now()]);
    if (n) { first.push(paint); listed.push(now); bytes = [...sizes.values()][0] || bytes; }
    await context.close();
  }
} finally {
  await browser.close();
  listener.kill();
  await once(listener, 'exit');
  rmSync(folder, { recursive: true, force: true });
}
const at = (list, share) => Math.round(list.sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * share))]);
console.log(`${loads} loads: ${bytes} bytes with headers; first paint ${at(first, .5)} ms (p90 ${at(first, .9)}), conversations listed ${at(listed, .5)} ms (p90 ${at(listed, .9)})`);
