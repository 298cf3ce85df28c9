"""Programs, and what they use: wall time, CPU time, memory, processes, ports."""

import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

PATIENCE = 120
"""Seconds that one program may take."""


class Trouble(Exception):
    """What cannot be measured, and why."""


class Used(NamedTuple):
    wall: float  # milliseconds
    cpu: float  # milliseconds, of the program and the children that it has waited for
    said: str


def end_group(pid):
    """Ends what a program of ours has left behind in its own process group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(argv, env, cwd, patience=PATIENCE):
    """Runs a program to its end, which must be a good one."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        child = subprocess.Popen(
            argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        timer = threading.Timer(patience, end_group, [child.pid])
        timer.start()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        end_group(child.pid)
        said, complaint = (read(file) for file in (out, err))
    if child.returncode != 0:
        last = (complaint.strip() or said.strip() or "nothing said").splitlines()[-1]
        raise Trouble(f"{Path(argv[0]).name} ended with {child.returncode}: {last[:160]}")
    return Used(wall * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3, said)


def read(file):
    file.seek(0)
    return file.read().decode(errors="replace")


def peak(argv, env, cwd, tools):
    """A run, and the MiB of its largest process. A small program starts it: the kernel counts what a child was
    before it became another program, and this interpreter is larger than some of what is measured."""
    if "time" not in tools:
        return run(argv, env, cwd), None
    with tempfile.NamedTemporaryFile("r") as file:
        used = run([tools["time"], "-f", "%M", "-o", file.name, *argv], env, cwd)
        return used, int(file.read().split()[-1]) / 1024


def processes(argv, env, cwd, tools):
    """How many processes a run consists of; threads are none."""
    if "strace" not in tools:
        return None
    with tempfile.NamedTemporaryFile("r") as file:
        calls = ["-f", "--seccomp-bpf", "-qq", "-e", "trace=clone,clone3,fork,vfork", "-e", "signal=none"]
        try:
            run([tools["strace"], *calls, "-o", file.name, *argv], env, cwd)
        except Trouble:
            return None
        begun = [line for line in file if re.search(r"\b(clone3?|v?fork)\(", line)]
    return 1 + sum("CLONE_THREAD" not in line and "= -1" not in line for line in begun)


def tree(pid):
    """A process and all below it."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def memory(pid, key="VmHWM"):
    """The resident memory at its peak in MiB, or with the key Pss what it is now, where a page that n
    processes share counts for one nth; 0 where the process has gone."""
    file = "smaps_rollup" if key == "Pss" else "status"
    try:
        found = re.search(rf"^{key}:\s+(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def cpu(pids):
    """Milliseconds that all threads of these processes have run."""
    total = 0
    for pid in pids:
        for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(file.read_text().split()[0])
            except OSError:
                continue
    return total / 1e6


def listening(pids):
    """The TCP ports that these processes listen on."""
    sockets = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                sockets.add(os.readlink(file))
            except OSError:
                continue
    ports = set()
    for table in ("tcp", "tcp6"):
        lines = [line.split() for line in Path("/proc/net", table).read_text().splitlines()[1:]]
        ports |= {int(f[1].rpartition(":")[2], 16) for f in lines if f[3] == "0A" and f"socket:[{f[9]}]" in sockets}
    return ports


def on_disk(*paths):
    """MiB that files take, each inode once."""
    seen = {}
    for path in paths:
        for file in [Path(path).resolve(), *(Path(path).rglob("*") if Path(path).is_dir() else [])]:
            stat = file.lstat()
            seen[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
    return sum(seen.values()) / 2**20


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def stop(child, patience=20):
    """Ends a server of ours and what it has started."""
    below = tree(child.pid)
    child.terminate()
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        pass
    end_group(child.pid)
    child.wait()
    return below


def find(name):
    return shutil.which(name)
