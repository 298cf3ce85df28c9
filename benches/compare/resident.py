"""Part two: what waits for messages in the background, when none comes."""

import socket
import subprocess
import time

import agents
from gauge import Trouble, cpu, listening, median, memory, run, stop, tree

HEADER = [
    "in the background, idle", "ready after, ms", "memory (PSS) of all its processes, MiB", "processes",
    "CPU in ten seconds, ms", "open TCP ports", "one question through it, ms", "CPU of the asker, ms",
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def claw(home, env, base):
    agent = agents.claw(home, env, base)
    serve = [agent.ask[0], "-w", agent.ask[2], "supervise"]

    def through(turn):
        """A message is sent, and its answer becomes a file."""
        answer = home / "claw/outbox/files" / f"turn-{turn}"
        start = time.perf_counter()
        used = run([*serve[:-1], "send", "--reply-to", f"file:{answer.name}", agents.QUESTION], agent.env, home)
        while not (answer.is_dir() and any(answer.glob("[!.]*"))):
            if time.perf_counter() - start > 60:
                raise Trouble("no answer")
            time.sleep(0.001)
        return (time.perf_counter() - start) * 1e3, used.cpu

    return "`claw supervise`", serve, agent.env, None, through


def nanobot(home, env, base):
    port, other = free_port(), free_port()
    channels = {"websocket": {"enabled": True, "host": "127.0.0.1", "port": other}}
    agent = agents.nanobot(home, env, base, channels=channels)
    serve = [agent.ask[0], "gateway", "-c", agent.ask[3], "--foreground", "--port", str(port)]
    return "`nanobot gateway`", serve, agent.env, port, None


def openclaw(home, env, base):
    port = free_port()
    access = {"port": port, "bind": "loopback", "auth": {"mode": "token", "token": "scratch"}}
    agent = agents.openclaw(home, env, base, **access)
    ask = [word for word in agent.ask if word != "--local"]

    def through(_):
        used = run(ask, agent.env, home)
        if agents.ANSWER not in used.said:
            raise Trouble("no answer")
        return used.wall, used.cpu

    return "`openclaw gateway`", [agent.ask[0], "gateway"], agent.env, port, through


def wait_until_ready(child, port, log):
    """Until the port answers; without a port, until its first word."""
    start = time.perf_counter()
    while time.perf_counter() - start < 90:
        if child.poll() is not None:
            raise Trouble(f"it ended: {log.read_text(errors='replace')[-200:]}")
        if port is None and log.stat().st_size > 0:
            return time.perf_counter() - start
        if port is not None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return time.perf_counter() - start
        time.sleep(0.002)
    raise Trouble("it was not ready in 90 seconds")


def watch(make, home, env, base, is_quick):
    """One row."""
    home.mkdir(parents=True)
    name, serve, env, port, through = make(home, env, base)
    log = home / "log"
    with log.open("wb") as said:
        child = subprocess.Popen(
            serve, env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
    try:
        ready = wait_until_ready(child, port, log)
        time.sleep(2 if is_quick else 15)  # what it does at its start is not what it does when it is idle
        before = cpu(tree(child.pid))
        stretch = 4 if is_quick else 10
        time.sleep(stretch)
        all_of_it = tree(child.pid)
        used = max(cpu(all_of_it) - before, 0.0) * 10 / stretch
        ports = len(listening(all_of_it))
        size = sum(memory(pid, "Pss") for pid in all_of_it)
        asked = [through(turn) for turn in range(2 if is_quick else 6)][1:] if through else []
    finally:
        stop(child)
    middle = [median(column) for column in zip(*asked)] or [None, None]
    return [name, ready * 1e3, size, len(all_of_it), used, ports, *middle]


def measure(home, env, base, is_quick):
    """The rows of the table, and what was left out."""
    rows, left_out = [], []
    for make in [claw, nanobot, openclaw]:
        try:
            rows.append(watch(make, home / f"resident-{make.__name__}", env, base, is_quick))
        except (Trouble, OSError) as trouble:
            left_out.append(f"{make.__name__}, resident: {trouble}")
    return rows, left_out
