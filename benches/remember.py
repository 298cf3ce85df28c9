#!/usr/bin/env python3
"""Times `claw remember`: until the note is durable and committed, and until it is durable during a merge of the owner's.

  python3 benches/remember.py target/release/claw [NOTES]

Prints the median and the 95th percentile in milliseconds, the process start included, beside `claw --version` and an
append with fsync.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time


def milliseconds(run):
    begun = time.perf_counter()
    run()
    return (time.perf_counter() - begun) * 1000


def row(name, times):
    times = sorted(times)
    print(f"{name:<40} p50 {statistics.median(times):7.1f} ms   p95 {times[int(len(times) * 0.95)]:7.1f} ms", flush=True)


def main():
    claw, notes = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100
    with tempfile.TemporaryDirectory() as home:
        root = os.path.join(home, "ws")
        env = {**os.environ, "HOME": home, "GIT_CONFIG_NOSYSTEM": "1"}

        def run(*arguments):
            subprocess.run(arguments, cwd=root, env=env, check=True, stdout=subprocess.DEVNULL)

        def git(*arguments):
            subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=root, env=env,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        os.mkdir(root)
        run(claw, "init", ".")
        row("claw --version", [milliseconds(lambda: run(claw, "--version")) for _ in range(notes)])

        def append():
            with open(os.path.join(root, "file"), "ab") as file:
                file.write(b"a note\n")
                os.fsync(file.fileno())

        row("append and fsync", [milliseconds(append) for _ in range(notes)])

        def note(kind):
            return lambda number: run(claw, "remember", "--topic", "house", f"note {kind} {number}")

        take = note("committed")
        row("remember, durable and committed", [milliseconds(lambda: take(n)) for n in range(notes)])
        with open(os.path.join(root, "both"), "w") as file:
            file.write("0\n")
        git("add", "both")
        git("commit", "-qm", "zero")
        for branch, text in [("other", "1\n"), ("-", "2\n")]:
            git("checkout", "-q", *(["-b", branch] if branch != "-" else ["-"]))
            with open(os.path.join(root, "both"), "w") as file:
                file.write(text)
            git("commit", "-qam", text)
        git("merge", "other")
        assert os.path.exists(os.path.join(root, ".git/MERGE_HEAD")), "there is no merge"
        take = note("pending")
        row("remember during a merge, durable", [milliseconds(lambda: take(n)) for n in range(notes)])


main()
