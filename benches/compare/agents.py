"""Part one: one question to one agent, from the start of its program to its end."""

import json
import urllib.request
from typing import NamedTuple

import install
from gauge import Trouble, find, median, on_disk, peak, processes, run
from mock import ANSWER

QUESTION = "where is it?"


class Agent(NamedTuple):
    name: str
    ask: list  # the command that asks
    version: list  # the command that only starts, and says its version
    env: dict
    files: list  # what was installed
    keeps: str  # what is different when it has answered


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def curl(_home, env, base):
    if not (program := find("curl")):
        raise Trouble("not installed")
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": QUESTION}]})
    ask = [program, "-sS", "-H", "content-type: application/json", "-d", body, f"{base}/chat/completions"]
    return Agent("`curl`: the bare exchange", ask, [program, "--version"], env, [program], "nothing")


def claw(home, env, base):
    program, root = str(install.claw()), home / "claw"
    run([program, "init", str(root)], env, home)
    settings = root / "claw.yaml"
    model = f'model: mock\nmodels:\n  mock: {{provider: openai, model: m, api_base: "{base}"}}\n'
    write(settings, settings.read_text().replace("model: offline\n", model))
    ask = [program, "-w", str(root), "ask", QUESTION]
    keeps = "question, log and answer are durable (`sync: full`)"
    return Agent("`claw ask`", ask, [program, "--version"], env, [program], keeps)


def aichat(home, env, base):
    if not (program := find(env.get("AICHAT", "aichat"))):
        raise Trouble("not installed: cargo install aichat, or name it in $AICHAT")
    client = {"type": "openai-compatible", "name": "mock", "api_base": base, "api_key": "none"}
    write(home / "aichat/config.yaml", {"model": "mock:m", "clients": [client | {"models": [{"name": "m"}]}]})
    env = env | {"AICHAT_CONFIG_DIR": str(home / "aichat")}
    return Agent("`aichat`", [program, QUESTION], [program, "--version"], env, [program], "nothing")


def llm(home, env, base):
    folder = install.python("llm")
    program = str(folder / "bin/llm")
    write(home / "llm/extra-openai-models.yaml", [{"model_id": "mock", "model_name": "m", "api_base": base}])
    env = env | {"LLM_USER_PATH": str(home / "llm"), "OPENAI_API_KEY": "none"}
    ask = [program, "-m", "mock", QUESTION]
    return Agent("`llm`", ask, [program, "--version"], env, install.packages(folder), "a row in a SQLite log")


def nanobot(home, env, base, **more):
    folder = install.python("nanobot")
    program, config = str(folder / "bin/nanobot"), home / "nanobot/config.json"
    defaults = {"model": "m", "provider": "custom", "workspace": str(home / "nanobot/workspace")}
    provider = {"custom": {"apiKey": "none", "apiBase": base}}
    write(config, {"providers": provider, "agents": {"defaults": defaults}} | more)
    ask = [program, "agent", "-c", str(config), "--no-markdown", "-m", QUESTION]
    keeps = "the session, in its workspace"
    return Agent("`nanobot agent`", ask, [program, "--version"], env, install.packages(folder), keeps)


def openclaw(home, env, base, **gateway):
    folder, node = install.openclaw()
    program, state = str(folder / "node_modules/.bin/openclaw"), home / "openclaw"
    model = {"id": "m", "name": "m", "contextWindow": 128000, "maxTokens": 4096}
    provider = {"baseUrl": base, "apiKey": "none", "api": "openai-completions", "models": [model]}
    defaults = {"model": "mock/m", "workspace": str(state / "workspace")}
    settings = {"models": {"providers": {"mock": provider}}, "agents": {"defaults": defaults}}
    settings |= {"gateway": {"mode": "local", **gateway}, "logging": {"file": str(state / "log")}}
    write(state / "openclaw.json", settings)
    env = env | {"OPENCLAW_STATE_DIR": str(state), "OPENCLAW_CONFIG_PATH": str(state / "openclaw.json")}
    env["PATH"] = f"{node}:{env['PATH']}"
    ask = [program, "agent", "--local", "--agent", "main", "-m", QUESTION]
    keeps = "the session, in SQLite, and its memory index"
    return Agent("`openclaw agent --local`", ask, [program, "--version"], env, [folder], keeps)


# The last are slow, and run less often.
AGENTS = [curl, claw, aichat, llm, nanobot, openclaw]
SLOW = [openclaw]


def measure(home, env, base, tools, is_quick):
    """The rows of the table, the versions, and what was left out."""
    ready, runs, versions, left_out = {}, {}, [], []
    (home / "ask").mkdir()
    for make in AGENTS:
        try:
            agent = make(home / "ask", env, base)
            used, most = peak(agent.ask, agent.env, home, tools)
            if ANSWER not in used.said:
                raise Trouble("it does not say the answer of the server")
            size = int(urllib.request.urlopen(f"{base.removesuffix('/v1')}/last").read())
            is_too_slow = is_quick and make in SLOW
            count = None if is_too_slow else processes(agent.ask, agent.env, home, tools)
            ready[make] = agent, most, count, size
            runs[make] = ([used] if is_too_slow else [], [])
            words = run(agent.version, agent.env, home).said.split("\n")[0].strip()
            versions.append(words.split(" (")[0])
        except (Trouble, OSError) as trouble:
            left_out.append(f"{make.__name__}: {trouble}")
    for turn in range(3 if is_quick else 9):
        for make, (agent, *_) in list(ready.items()):
            if make in SLOW and turn >= 5:
                continue
            asked, started = runs[make]
            try:
                started.append(run(agent.version, agent.env, home))
                if not (is_quick and make in SLOW):
                    asked.append(run(agent.ask, agent.env, home))
            except Trouble as trouble:
                left_out.append(f"{make.__name__}: {trouble}")
                del ready[make]
    rows = []
    for make, (agent, most, count, size) in ready.items():
        asked, started = runs[make]
        rows.append([
            agent.name,
            median(used.wall for used in asked),
            median(used.cpu for used in asked),
            most,
            count,
            median(used.wall for used in started),
            size / 1024,
            on_disk(*agent.files),
            agent.keeps,
        ])
    return rows, versions, left_out


HEADER = [
    "one question", "wall, ms", "CPU, ms", "peak of its largest process, MiB", "processes", "`--version`, ms",
    "request, KiB", "on disk, MiB", "what it keeps",
]
