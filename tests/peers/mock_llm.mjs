// A model server for the tests, and an independent peer: what it knows of POST /v1/chat/completions,
// POST /v1/messages, POST /v1/responses and POST /api/chat comes from the npm package @copilotkit/aimock, not from whoever wrote our client.
//
//   node mock_llm.mjs     binds to a free port of 127.0.0.1, prints the port as its only line, and
//                         ends when its stdin closes: with the test that started it, however that ends.
//
// The last message of a request chooses what happens: it names one of the behaviours below
// ("mock:hello"). A message that names none is answered with 404. What was asked is the JSON list
// at GET /__aimock/journal?path=PATH.

import { LLMock } from "@copilotkit/aimock";

const when = (userMessage, response, options = {}) => ({ match: { userMessage }, response, ...options });
const text = (userMessage, content, options) => when(userMessage, { content }, options);
const refusal = (status, message, type, more) => ({ error: { message, type }, status, ...more });

// The first one whose name is part of the message wins: a name stands before its own beginnings.
const BEHAVIOURS = [
  when(
    "mock:hello",
    { content: "Hi there, this is the mock.", usage: { prompt_tokens: 42, completion_tokens: 7 } },
    { chunkSize: 8 },
  ),
  // Two calls at once, cut into pieces; with their results in the request, an answer.
  { match: { userMessage: "mock:tools", hasToolResult: true }, response: { content: "Both were told." } },
  when(
    "mock:tools",
    {
      content: "I look.",
      toolCalls: [
        { name: "recall", arguments: '{"query": "NAS"}' },
        { name: "remember", arguments: '{"text": "the peer was here"}' },
      ],
    },
    { chunkSize: 6 },
  ),
  // It thinks, calls a tool, and wants its thought back with the result: strict servers refuse a turn without.
  { match: { userMessage: "mock:think", hasToolResult: true }, response: { content: "Thought through.", reasoning: "now I know" } },
  when(
    "mock:think",
    { reasoning: "let me see", reasoningSignature: "sig-of-the-peer", toolCalls: [{ name: "recall", arguments: '{"query": "NAS"}' }] },
    { chunkSize: 4 },
  ),
  // The first word after 600 ms, then four letters every 200 ms.
  text("mock:slow", "abcdefghijklmnopqrst", { chunkSize: 4, streamingProfile: { ttft: 600, tps: 5 } }),
  // Not even a status line for a second.
  text("mock:late", "late answer", { chaos: { latencyMs: 1000 } }),
  // The connection is closed before any byte of an answer.
  text("mock:cut-now", "never", { chaos: { disconnectRate: 1 } }),
  // Two pieces of text arrive, then the socket closes. (The fourth event is lost with it; without a
  // latency they all are.)
  text("mock:cut", "one two thr four five six ", { chunkSize: 4, latency: 30, truncateAfterChunks: 4 }),
  when("mock:429", refusal(429, "rate limited", "rate_limit_error", { retryAfter: 7 })),
  when("mock:500", refusal(500, "boom", "server_error")),
  // A success that is not JSON.
  text("mock:garbage-body", "never", { chaos: { malformedRate: 1 } }),
  // An event in the stream is broken JSON, is an error, or the last one ([DONE]) does not come.
  text("mock:garbage-event", "good one..@@BROKEN@@ the end", { chunkSize: 10 }),
  // Half of the answers are refused, broken or cut off.
  text("mock:chaos", "the whole answer of the peer", {
    chunkSize: 6,
    chaos: { dropRate: 0.2, malformedRate: 0.2, disconnectRate: 0.2 },
  }),
  text("mock:error-event", "good one..@@FAILED@@ the end", { chunkSize: 10 }),
  text("mock:no-done", "good one..@@NODONE@@ the end", { chunkSize: 10 }),
];

// What the package has no behaviour for: an event with such a mark is replaced on its way out.
const REPLACED = {
  "/v1/chat/completions": {
    BROKEN: 'data: {"id":"x","choices":[{"index":0,"delta":{"content":"bro\n\n',
    FAILED: 'data: {"error":{"message":"overloaded","type":"server_error","code":"overloaded"}}\n\n',
  },
  "/v1/messages": {
    BROKEN: 'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"text":"bro\n\n',
    FAILED: 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"overloaded"}}\n\n',
  },
  "/v1/responses": {
    BROKEN: 'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","output_index":0,"delta":"bro\n\n',
    FAILED: 'event: error\ndata: {"type":"error","code":"server_error","message":"overloaded","param":null}\n\n',
  },
  "/api/chat": {
    BROKEN: '{"message":{"role":"assistant","content":"bro\n',
    FAILED: '{"error":"overloaded"}\n',
  },
};
const LAST = /\[DONE\]|message_stop|response\.completed|"done":true/;
const replacing = (replaced) => ({
  async handleRequest(_request, response) {
    const write = response.write.bind(response);
    let mark;
    response.write = (chunk, ...rest) => {
      const found = /@@([A-Z]+)@@/.exec(chunk)?.[1];
      mark = found ?? mark;
      if (found === "NODONE") return true;
      if (found in replaced) return write(replaced[found], ...rest);
      if (mark === "NODONE" && LAST.test(String(chunk))) return true;
      return write(chunk, ...rest);
    };
    return false; // the package goes on and answers
  },
});

const mock = new LLMock({ port: 0, host: "127.0.0.1", strict: true });
mock.addFixturesFromJSON(BEHAVIOURS);
// A 429 the first time that this very message comes, then an answer.
const seen = new Set();
const flaky = ({ messages }) => {
  const said = JSON.stringify(messages.at(-1).content);
  if (seen.has(said)) return { content: "second try" };
  seen.add(said);
  return refusal(429, "rate limited", "rate_limit_error", { retryAfter: 7 });
};
mock.prependFixture({ match: { userMessage: "mock:flaky" }, response: flaky });
for (const [path, replaced] of Object.entries(REPLACED)) mock.mount(path, replacing(replaced));
await mock.start();
console.log(mock.port);
process.stdin.resume();
for (const end of ["end", "error"]) process.stdin.on(end, () => process.exit(0));
