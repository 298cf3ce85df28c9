"""A model server for the comparison: it answers every chat completion with ANSWER, streamed or plain.

It binds to a free port of 127.0.0.1, prints the port, and ends when its stdin closes. `GET /last` is the
number of bytes of the last question; what else is asked for is told the one model that there is.
"""

import http.server
import json
import sys
import threading

ANSWER = "It is in the attic."
last = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet, else Nagle's algorithm is what is measured

    def log_message(self, *_):
        pass

    def answer(self, kind, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        models = {"object": "list", "data": [{"id": "m", "object": "model"}]}
        self.answer("application/json", str(last) if self.path == "/last" else json.dumps(models))

    def do_POST(self):
        global last
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not self.path.endswith("/chat/completions"):
            return self.send_error(404)
        last = len(body)
        common = {"id": "c", "created": 1, "model": "m"}
        usage = {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15}
        if not json.loads(body).get("stream"):
            message = {"role": "assistant", "content": ANSWER}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = common | {"object": "chat.completion", "choices": [choice], "usage": usage}
            return self.answer("application/json", json.dumps(whole))
        steps = [({"role": "assistant", "content": ANSWER}, None), ({}, "stop")]
        lists = [[{"index": 0, "delta": delta, "finish_reason": end}] for delta, end in steps]
        chunks = [common | {"object": "chat.completion.chunk", "choices": choices} for choices in lists]
        chunks.append(common | {"object": "chat.completion.chunk", "choices": [], "usage": usage})
        events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        self.answer("text/event-stream", "".join(events) + "data: [DONE]\n\n")


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
