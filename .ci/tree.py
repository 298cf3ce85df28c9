"""The copy of the tree in which mutants are made, below target/mutants. Unchanged files keep their time there, so that
little is built."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "target/mutants"
TREE = HOME / "tree"
# Of every cargo that builds in the copy: equal flags share the dependencies.
ENV = {"CARGO_TARGET_DIR": str(HOME / "target"), "RUSTFLAGS": "--cap-lints=warn", "CLAW_PROOF": "first"}


def update():
    """Makes the copy, or brings it up to date: the files of git, and those that git would add."""
    TREE.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    )
    names = {name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()}
    for name in names:
        source, target = ROOT / name, TREE / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    for old in [path for path in TREE.rglob("*") if path.is_file() or path.is_symlink()]:
        if str(old.relative_to(TREE)) not in names:
            old.unlink()


def cargo(arguments, limit):
    """Runs cargo in the copy; returns its output, and its exit code or None after the time limit, in seconds."""
    process = subprocess.Popen(
        [os.environ.get("CARGO", "cargo"), *arguments], cwd=TREE, env={**os.environ, **ENV}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit)
        return output, process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0], None
