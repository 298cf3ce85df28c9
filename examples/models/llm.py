#!/usr/bin/env python3
"""A `command` model that asks `llm` (https://llm.datasette.io), and so every model that it has a plugin for.

  models:
    mini: {provider: command, command: [python3, /path/to/llm.py], model: gpt-4o-mini}

`model` is what `llm` calls it; without one, it asks its default. The key is `llm`'s own (`llm keys set`).
"""

import re
import subprocess
import sys
import tempfile

import neutral

request = neutral.read()
command = ["llm", "prompt", "--no-log", "--usage"]
if "model" in request:
    command += ["--model", request["model"]]
for option in ["temperature", "max_tokens"]:
    if option in request:
        command += ["--option", option, str(request[option])]

# What is in an argument can be seen by every user of the machine, and may be too long for one.
with (
    tempfile.NamedTemporaryFile("w", encoding="utf-8") as system,
    tempfile.TemporaryFile("w+", encoding="utf-8") as prompt,
    tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
):
    system.write(neutral.system(request))
    system.flush()
    prompt.write(neutral.prompt(request))
    prompt.seek(0)
    command += ["--system-fragment", system.name]
    client = subprocess.Popen(command, stdin=prompt, stdout=subprocess.PIPE, stderr=errors)
    answer = neutral.Answer(request)
    for piece in neutral.pieces(client.stdout):
        answer.add(piece)
    code = client.wait()
    errors.seek(0)
    complaint = errors.read()

if code != 0:
    sys.stderr.write(complaint)
    sys.exit(code)
usage = {}
if counted := re.search(r"Token usage: ([\d,]+) input, ([\d,]+) output", complaint):
    usage = dict(zip(["input", "output"], (int(n.replace(",", "")) for n in counted.groups())))
answer.end(usage)
