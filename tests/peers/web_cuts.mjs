// A client of claw's WebSocket, by the library `ws`, whose connection is cut again and again. It sends each message until
// it is acknowledged, returns with its cursor, and counts what it gets. Arguments: a file with the URL (the listener may
// come back at another port), the token, the number of messages, the number of cuts. Prints JSON.
import { readFileSync } from 'node:fs';
import { WebSocket } from 'ws';

const [place, token, messages, cuts] = process.argv.slice(2);
const [count, most] = [Number(messages), Number(cuts)];
const acked = new Map(), answers = new Map(), gaps = [], order = [];
let cursor, done = 0, changed = 0, seed = 7;
const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;

function connect() {
  let socket;
  try { socket = new WebSocket(readFileSync(place, 'utf8').trim()); } catch { return void setTimeout(connect, 20); }
  let timer;
  socket.on('open', () => socket.send(JSON.stringify({ type: 'auth', token, cursor })));
  socket.on('error', () => {});
  socket.on('close', () => { clearTimeout(timer); if (finished()) report(); else setTimeout(connect, 5); });
  socket.on('message', data => {
    const frame = JSON.parse(data);
    if (frame.cursor) cursor = frame.cursor;
    if (frame.type === 'ready') {
      for (let n = 0; n < count; n++) if (!acked.has(String(n))) { socket.send(JSON.stringify({ id: String(n), content: `remember that fact${n} is noted` })); if (random() < .3) break; }
      if (done < most) timer = setTimeout(() => { done++; socket.terminate(); }, random() * 30);
    }
    if (frame.type === 'gap') gaps.push(frame.message);
    if (frame.type === 'ack') {
      if (acked.has(frame.id) && acked.get(frame.id) !== frame.event) changed++;
      acked.set(frame.id, frame.event);
      const next = [...Array(count).keys()].find(n => !acked.has(String(n)));
      if (next !== undefined) socket.send(JSON.stringify({ id: String(next), content: `remember that fact${next} is noted` }));
    }
    if (frame.type === 'outbound') { answers.set(frame.in_reply_to, (answers.get(frame.in_reply_to) ?? 0) + 1); order.push(frame.in_reply_to); }
    if (finished()) { socket.close(); report(); }
  });
}
const finished = () => acked.size === count && [...acked.values()].every(event => answers.has(event)) && done >= most;
let reported = false;
function report() {
  if (reported) return;
  reported = true;
  const double = [...answers.values()].filter(n => n > 1).length;
  console.log(JSON.stringify({ acked: acked.size, answers: answers.size, double, changed, gaps, cuts: done }));
  process.exit(0);
}
setTimeout(() => {
  console.log(JSON.stringify({ late: true, acked: acked.size, answers: answers.size, cuts: done, missing: [...acked].filter(([, event]) => !answers.has(event)) }));
  process.exit(1);
}, Number(process.env.LIMIT ?? 60000));
connect();
