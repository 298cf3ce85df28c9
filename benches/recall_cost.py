#!/usr/bin/env python3
"""CPU time and memory of one `claw recall`, on notes that this program generates.

    cargo build --profile fast && python3 benches/recall_cost.py target/fast/claw

For 10^5 and 10^6 lines in files of 500: the median of nine queries, warm and cold (the pages of the notes are dropped
from the cache before), the resident memory at most, and the same for a search in an empty workspace, which is the cost
of starting the program. The bounds of the first row fail the run: 60 ms and 16 MiB for 10^5 lines.
"""
import os, pathlib, random, statistics, subprocess, sys, tempfile

SEED, FILE, QUERIES = 20261121, 500, 9
MOST_MS, MOST_MIB = 60, 16
WORDS = [a + b for a in "ka lo mi ne pu ra si to ve zu".split() for b in "bar den fil gor hum jak lem nit pos ruv".split()]


def write(root, lines, random):
    for number in range(lines // FILE):
        path = root / "memories" / "topics" / f"t{number:05}.md"
        text = [f"# {random.choice(WORDS)} {number}", ""]
        for line in range(FILE - 2):
            text.append(f"- {' '.join(random.choices(WORDS, k=8))} {random.randrange(10**6)}" if line % 40 else f"## {random.choice(WORDS)}")
        path.write_text("\n".join(text) + "\n")


def drop(root):
    for path in (root / "memories").rglob("*.md"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cost(claw, root, query):
    """Milliseconds of CPU, and MiB of resident memory at most."""
    child = subprocess.Popen([claw, "recall", query], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(child.pid, 0)
    return (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss / 1024


def main():
    claw = pathlib.Path(sys.argv[1]).resolve()
    rand, wrong = random.Random(SEED), []
    print("| lines | cache | CPU (ms) | memory (MiB) |\n|--:|---|--:|--:|")
    for lines in (0, 10**5, 10**6):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder) / "ws"
            subprocess.run([claw, "init", root], check=True, capture_output=True)
            write(root, lines, rand)
            for cache in ("warm", "cold"):
                costs = []
                for _ in range(QUERIES):
                    if cache == "cold":
                        drop(root)
                    costs.append(cost(claw, root, " ".join(rand.choices(WORDS, k=3))))
                ms, mib = statistics.median(c for c, _ in costs), max(m for _, m in costs)
                print(f"| {lines:,} | {cache} | {ms:.0f} | {mib:.1f} |")
                if lines == 10**5 and (ms > MOST_MS or mib > MOST_MIB):
                    wrong.append(f"{ms:.0f} ms, {mib:.1f} MiB ({cache})")
    sys.exit(f"beyond {MOST_MS} ms or {MOST_MIB} MiB for 10^5 lines: {'; '.join(wrong)}" if wrong else 0)


main()
