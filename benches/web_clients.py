"""Load on the web listener: clients of a foreign library send messages, each waiting for its acknowledgement, which comes
after the event is durable. Prints the latencies, the rate, the listener's memory, and whether every client's acknowledgements
came in order.

    python3 benches/web_clients.py CLAW [CLIENTS] [MESSAGES]

CLAW is the program to be measured. Needs `websockets` (tests/peers/requirements.txt).
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time

import websockets


async def client(url, token, count, latencies):
    async with websockets.connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        await socket.recv()
        last = ""
        for number in range(count):
            began = time.perf_counter()
            await socket.send(json.dumps({"id": str(number), "content": f"message {number}", "source": None}))
            while True:
                frame = json.loads(await socket.recv())
                if frame["type"] == "ack":
                    break
                if frame["type"] == "error":
                    raise SystemExit(frame["message"])
            latencies.append(time.perf_counter() - began)
            if frame["id"] != str(number) or frame["event"] <= last:
                raise SystemExit(f"out of order: {frame}")
            last = frame["event"]


async def load(url, tokens, count):
    latencies = []
    began = time.perf_counter()
    await asyncio.gather(*(client(url, token, count, latencies) for token in tokens))
    return latencies, time.perf_counter() - began


def memory(pid):
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["VmHWM"].split()[0]) / 1024


def main(claw, clients="200", messages="50"):
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", ".")) as folder:
        env = {**os.environ, "HOME": folder, "USER": "ann", "CLAW_WORKSPACE": folder}
        run = lambda *arguments: subprocess.run([claw, *arguments], env=env, check=True, capture_output=True, text=True).stdout
        run("init", folder)
        with open(f"{folder}/claw.yaml", "a") as settings:
            settings.write("\nchannels:\n  web: {listen: '127.0.0.1:0'}\n")
        tokens = [run("channels", "token", f"c{number}").strip() for number in range(int(clients))]
        listener = subprocess.Popen([claw, "listen", "web"], env=env)
        try:
            for _ in range(100):
                page = subprocess.run([claw, "page"], env=env, capture_output=True, text=True)
                if page.returncode == 0:
                    break
                time.sleep(0.1)
            url = page.stdout.split("/#")[0].replace("http", "ws") + "/ws"
            latencies, seconds = asyncio.run(load(url, tokens, int(messages)))
            peak = memory(listener.pid)
        finally:
            listener.terminate()
            listener.wait()
        events = len(os.listdir(f"{folder}/inbox/new"))
    latencies.sort()
    at = lambda share: latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000
    total = int(clients) * int(messages)
    print(f"{clients} clients x {messages}: {total} acknowledged, {events} events, in order; "
          f"p50 {at(.5):.0f} ms, p99 {at(.99):.0f} ms, {total / seconds:.0f}/s, peak memory {peak:.0f} MiB", flush=True)
    sys.exit(0 if events == total else 1)


main(*sys.argv[1:])
