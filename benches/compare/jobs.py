"""The queues that Python programs use, each with its own means: `jobs.py QUEUE COUNT`, run in an empty folder.

It puts COUNT messages in, each durable before the next one as far as the queue can do that, while a worker
takes them out and does nothing. It prints one JSON object: the seconds until all were in, the seconds
until all were worked off, and the memory, at the peak, of what worked them off.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from gauge import memory

BODY = "where is the NAS? ".ljust(300, "x")


def folder_sync(path):
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(handle)
    os.close(handle)


def meanwhile(put, take, count):
    """`put(n)` in this thread, `take()` in another; `take` waits for a message."""
    worker = threading.Thread(target=lambda: [take() for _ in range(count)], daemon=True)
    start = time.perf_counter()
    worker.start()
    for n in range(count):
        put(n)
    all_in = time.perf_counter() - start
    worker.join()
    return all_in, time.perf_counter() - start, memory("self")


def until(there):
    while not (found := there()):
        time.sleep(0.0005)
    return found


def floor(count):
    """Written unnamed, synced, linked, the folder synced; then renamed, and that folder synced."""
    new, done, waiting = Path("new"), Path("done"), []
    new.mkdir(), done.mkdir()

    def put(n):
        handle = os.open(new, os.O_TMPFILE | os.O_WRONLY, 0o600)
        os.write(handle, BODY.encode())
        os.fsync(handle)
        # Without a folder, even one that is not looked at, os.link does not follow the link.
        os.link(f"/proc/self/fd/{handle}", new / str(n), src_dir_fd=handle, follow_symlinks=True)
        os.close(handle)
        folder_sync(new)
        waiting.append(str(n))

    def take():
        until(lambda: waiting)
        name = waiting.pop(0)
        os.rename(new / name, done / name)
        folder_sync(done)

    return meanwhile(put, take, count)


def maildir(count):
    import mailbox

    box, waiting = mailbox.Maildir("box"), []

    def put(_):
        box.add(BODY)  # it syncs the file
        folder_sync("box/new")

    def take():
        if not waiting:
            waiting.extend(sorted(until(lambda: os.listdir("box/new"))))
        name = waiting.pop(0)
        os.rename(f"box/new/{name}", f"box/cur/{name}:2,S")
        folder_sync("box/cur")

    return meanwhile(put, take, count)


def persist_sqlite(count):
    import persistqueue

    queue = persistqueue.SQLiteAckQueue("queue", multithreading=True, auto_commit=True)
    return meanwhile(lambda _: queue.put(BODY), lambda: queue.ack(queue.get()), count)


def persist_file(count):
    import persistqueue

    queue = persistqueue.Queue("queue")
    return meanwhile(lambda _: queue.put(BODY), lambda: (queue.get(), queue.task_done()), count)


def background(argv, env=None):
    nothing = subprocess.DEVNULL
    return subprocess.Popen(argv, env=env, stdin=nothing, stdout=nothing, stderr=nothing)


def huey(count):
    Path("tasks.py").write_text(
        "from huey import SqliteHuey\n"
        "huey = SqliteHuey(filename='huey.db', fsync=True, results=False)\n"
        "@huey.task()\n"
        "def work(body):\n"
        "    pass\n"
    )
    sys.path.insert(0, ".")
    import tasks

    command = [str(Path(sys.executable).with_name("huey_consumer")), "tasks.huey", "-w", "1", "-d", "0.01", "-n"]
    worker = background(command, os.environ | {"PYTHONPATH": "."})
    try:
        tasks.work(BODY)  # it has started when it has done this one
        until(lambda: tasks.huey.pending_count() == 0)
        start = time.perf_counter()
        for _ in range(count):
            tasks.work(BODY)
        all_in = time.perf_counter() - start
        until(lambda: tasks.huey.pending_count() == 0)
        return all_in, time.perf_counter() - start, memory(worker.pid)
    finally:
        worker.terminate()
        worker.wait()


def redis(count):
    from redis import Redis

    server = background([
        os.environ["REDIS_SERVER"], "--port", "0", "--unixsocket", "redis.sock", "--save", "",
        "--appendonly", "yes", "--appendfsync", "always",
    ])
    worker = 0
    try:
        until(lambda: server.poll() is not None or Path("redis.sock").exists())
        client = Redis(unix_socket_path="redis.sock")
        client.xgroup_create("messages", "workers", mkstream=True)
        worker = os.fork()
        if worker == 0:
            own = Redis(unix_socket_path="redis.sock")
            for _ in range(count):
                [[_, [[name, _]]]] = own.xreadgroup("workers", "one", {"messages": ">"}, count=1, block=0)
                own.xack("messages", "workers", name)
            own.set("finished", 1)
            signal.pause()
        start = time.perf_counter()
        for _ in range(count):
            client.xadd("messages", {"body": BODY})
        all_in = time.perf_counter() - start
        until(lambda: client.get("finished"))
        sizes = [memory(pid) for pid in (worker, server.pid)]
        return all_in, time.perf_counter() - start, sum(sizes)
    finally:
        if worker:
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
        server.terminate()
        server.wait()


QUEUES = {make.__name__: make for make in [floor, maildir, persist_sqlite, persist_file, huey, redis]}

if __name__ == "__main__":
    queue, count = sys.argv[1:]
    print(json.dumps(QUEUES[queue](int(count))))
