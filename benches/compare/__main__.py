#!/usr/bin/env python3
"""claw beside what one would pick instead, measured in one run on one machine.

    python3 benches/compare [--quick] [agents] [resident] [queues]

It prints one Markdown table for each part; `--quick` makes few runs, and waits less than OpenClaw
needs to come to rest. What is missing is installed below target/compare first, and what cannot be had is
named as left out. $CLAW is the program to measure, else it is built; $AICHAT names aichat. All servers
are on loopback, and end with this program.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True

import agents
import install
import queues
import resident
from gauge import stop

PARTS = ["agents", "resident", "queues"]


def cell(value):
    if value is None:
        return "—"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def show(header, rows):
    for line in [header, ["---"] + ["--:"] * (len(header) - 1), *rows]:
        print("| " + " | ".join(map(cell, line)) + " |")
    print(flush=True)


def machine(folder):
    model = [line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    mounts = [line.split()[1:3] for line in open("/proc/self/mounts")]
    kind = max((len(place), kind) for place, kind in mounts if folder.is_relative_to(place))[1]
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    name = model[0] if model else platform.machine()
    print(f"{name}, {os.cpu_count()} cores, {kind}, Linux {platform.release()}, {time.strftime('%F')}, load {load}\n")


def main(arguments):
    is_quick = "--quick" in arguments
    parts = [part for part in arguments if part != "--quick"] or PARTS
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"no such part: {', '.join(unknown)} (there are {', '.join(PARTS)})")
    install.TOOLS.mkdir(parents=True, exist_ok=True)
    tools, libraries, missing = install.debian()
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=install.TOOLS.parent))
    mock = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("mock.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        base = f"http://127.0.0.1:{int(mock.stdout.readline())}/v1"
        # Nothing of the one who runs this is seen.
        env = {"HOME": str(scratch), "TMPDIR": str(scratch), "USER": "ann", "LANG": "C.UTF-8"}
        env |= {"PATH": os.environ["PATH"]}
        env |= {"LD_LIBRARY_PATH": libraries} if libraries else {}
        env |= {key: os.environ[key] for key in ["AICHAT"] if key in os.environ}
        run_parts(parts, scratch, env, base, tools, missing, is_quick)
    finally:
        mock.stdin.close()
        stop(mock)
        shutil.rmtree(scratch, ignore_errors=True)


def run_parts(parts, scratch, env, base, tools, missing, is_quick):
    machine(scratch)
    versions, left_out = [], [f"{name}: {why}" for name, why in missing.items()]
    for part in parts:
        start = time.monotonic()
        if part == "agents":
            rows, found, without = agents.measure(scratch, env, base, tools, is_quick)
            versions += found
            header = agents.HEADER
        elif part == "resident":
            rows, without = resident.measure(scratch, env, base, is_quick)
            header = resident.HEADER
        else:
            rows, found, without = queues.measure(scratch, env, tools, is_quick)
            versions += found
            header = queues.HEADER
        left_out += without
        show(header, rows)
        print(f"{part}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    print("Versions: " + "; ".join(dict.fromkeys(versions)) + ".")
    if left_out:
        print("Left out: " + "; ".join(left_out) + ".")


if __name__ == "__main__":
    main(sys.argv[1:])
