"""Part three: messages put in, each durable before it is acknowledged, and worked off meanwhile.

What `claw` does with a message is more than what a queue does: it routes it to a conversation, asks the
(offline) model, writes a log, and makes the answer a file of its own.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import install
from gauge import PATIENCE, Trouble, median, memory, peak, run, stop

CONVERSATIONS = 30
HEADER = [
    "queue", "put in, per second", "worked off, per second", "peak memory of workers and servers, MiB",
    "what it promises",
]


def claw(sync, dropped):
    """Sent by a program each, or dropped as a file each, under `claw supervise`."""

    def measure(folder, count, env, _):
        program, root = str(install.claw()), folder / "workspace"
        run([program, "init", str(root)], env, folder)
        with (root / "claw.yaml").open("a") as settings:
            settings.write(f"\nsync: {sync}\n")
        with (folder / "log").open("wb") as said:
            serve = [program, "-w", str(root), "supervise"]
            child = subprocess.Popen(serve, env=env, stdin=subprocess.DEVNULL, stderr=said, start_new_session=True)
        try:
            patient(lambda: (folder / "log").stat().st_size > 0)
            start = time.perf_counter()
            for n in range(count):
                to = f"file:{n % CONVERSATIONS}"
                if dropped:
                    drop(root / "inbox", n, {"content": f"message {n}", "reply_to": to}, sync == "full")
                else:
                    run([program, "-w", str(root), "send", "--reply-to", to, f"message {n}"], env, folder)
            all_in = time.perf_counter() - start
            patient(lambda: answers(root / "outbox/files") >= count)
            return all_in, time.perf_counter() - start, memory(child.pid)
        finally:
            stop(child)

    return measure


def patient(is_true):
    start = time.perf_counter()
    while not is_true():
        if time.perf_counter() - start > PATIENCE:
            raise Trouble("it takes too long")
        time.sleep(0.01)


def answers(folder):
    lanes = os.scandir(folder) if folder.is_dir() else []
    return sum(not name.startswith(".") for lane in lanes for name in os.listdir(lane))


def drop(inbox, n, event, is_synced):
    """A file is written elsewhere, synced, renamed into the inbox, and that is synced."""
    part = inbox.parent / f"{n}.part"
    with part.open("w") as file:
        json.dump(event, file)
        file.flush()
        if is_synced:
            os.fsync(file.fileno())
    os.rename(part, inbox / f"{n}.json")
    if is_synced:
        handle = os.open(inbox, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(handle)
        os.close(handle)


def nq(folder, count, env, tools):
    env, job = env | {"NQDIR": str(folder)}, [tools["nq"], "-q", "true"]
    start = time.perf_counter()
    for _ in range(count):
        # Its worker is what it leaves behind: it must not be ended with it, as `run` does.
        subprocess.run(job, env=env, cwd=folder, stdout=subprocess.DEVNULL, check=True, timeout=PATIENCE)
    all_in = time.perf_counter() - start
    run([tools["nq"], "-w"], env, folder)
    return all_in, time.perf_counter() - start, peak(job, env, folder, tools)[1]


def tsp(folder, count, env, tools):
    # A socket's name is short: it is found from the folder.
    env = env | {"TS_SOCKET": "socket", "TS_MAXFINISHED": str(count)}

    def call(*arguments):
        done = subprocess.run(
            [tools["tsp"], *arguments], env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=True,
            timeout=PATIENCE,
        )
        return done.stdout.decode().strip()

    try:
        call("-n", "true")
        start = time.perf_counter()
        for _ in range(count):
            last = call("-n", "true")
        all_in = time.perf_counter() - start
        call("-w", last)
        took = time.perf_counter() - start
        ours = [p for p in Path("/proc").glob("[0-9]*") if cwd(p) == str(folder)]
        return all_in, took, max(memory(p.name) for p in ours)
    finally:
        call("-K")


def cwd(process):
    try:
        return os.readlink(process / "cwd")
    except OSError:
        return None


def python(queue, with_packages=True):
    def measure(folder, count, env, tools):
        if queue == "redis":
            if "redis-server" not in tools:
                raise Trouble("there is no redis-server")
            env = env | {"REDIS_SERVER": tools["redis-server"]}
        program = install.python("queues") / "bin/python" if with_packages else sys.executable
        said = run([str(program), "-B", str(Path(__file__).with_name("jobs.py")), queue, str(count)], env, folder).said
        return json.loads(said)

    return measure


OURS = "durable; order per conversation; a killed worker's message is worked off, and answered once; plain files"
QUEUES = {
    "the floor: file and folder synced, then renamed": (python("floor", False), "durable; nothing else"),
    "claw, `sync: full`, files dropped": (claw("full", True), OURS),
    "claw, `sync: full`, one `claw send` each": (claw("full", False), OURS),
    "claw, `sync: none`, files dropped": (claw("none", True), "the same, but for a power cut"),
    "claw, `sync: none`, one `claw send` each": (claw("none", False), "the same, but for a power cut"),
    "Maildir (Python's `mailbox`), and its folder synced": (
        python("maildir", False), "durable; no order by itself, no claims: one worker; plain files"),
    "`nq`, one process each": (
        nq, "not synced; one line for all; a killed job is not run again; plain files (the command and its output)"),
    "`tsp`, one process each": (tsp, "not durable: in the memory of its server; one line for all; no files"),
    "persist-queue, SQLite with acknowledgement": (
        python("persist_sqlite"), "durable; one line for all; a killed worker's message can be resumed; a database"),
    "persist-queue, file": (
        python("persist_file"), "not synced for each message; one line for all; what was taken and not marked done "
        "comes again; pickled files"),
    "huey, SQLite, `fsync`": (
        python("huey"), "durable until it is taken: a killed worker's message is lost; one line for all; a database"),
    "Redis stream, `appendfsync always`": (
        python("redis"), "durable; one line for all; a killed worker's message can be claimed; a server's log"),
}


def measure(home, env, tools, is_quick):
    """The rows of the table, the versions, and what was left out."""
    count, rounds = (60, 1) if is_quick else (300, 3)
    found, left_out = {name: [] for name in QUEUES}, []
    for turn in range(rounds):
        for name, (how, _) in QUEUES.items():
            folder = home / "queue"
            folder.mkdir()
            try:
                found[name].append(how(folder, count, env, tools))
            except (Trouble, OSError, KeyError, subprocess.SubprocessError) as trouble:
                left_out += [f"{name}: {trouble}"] if turn == 0 else []
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    rows = []
    for name, (_, promise) in QUEUES.items():
        if found[name]:
            put, done, size = map(median, zip(*found[name]))
            rows.append([name, count / put, count / done, size, promise])
    print(f"{count} messages, {CONVERSATIONS} conversations, median of {rounds}:\n")
    return rows, versions(tools, env, home), left_out


def versions(tools, env, home):
    words = [f"Python {sys.version.split()[0]}"]
    for name in ["nq", "tsp", "redis-server"]:
        if name not in tools:
            continue
        try:
            flag = {"tsp": "-V", "redis-server": "--version"}.get(name)
            if flag:
                words.append(" ".join(run([tools[name], flag], env, home).said.split()[:3]))
            else:  # it does not tell its version
                found = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "nq"], capture_output=True, text=True)
                packed = [file.name.split("_")[1] for file in install.TOOLS.glob("debian/nq/nq_*.deb")]
                words.append(f"nq {found.stdout or ''.join(packed)}")
        except (Trouble, OSError):
            continue
    code = "import sqlite3; print('SQLite', sqlite3.sqlite_version)"
    try:
        words.append(run([str(install.python("queues") / "bin/python"), "-c", code], env, home).said.strip())
        words += [requirement.replace("==", " ") for requirement in install.PYTHON["queues"]]
    except (Trouble, OSError):
        pass
    return words
