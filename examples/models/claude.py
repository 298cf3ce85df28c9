#!/usr/bin/env python3
"""A `command` model that asks `claude -p` (Claude Code), with what its owner is logged in with.

  models:
    sonnet: {provider: command, command: [python3, /path/to/claude.py], model: sonnet}

Claude Code is an agent itself. Here it is only a model: without its own tools, settings, servers and sessions. What
it shall call are claw's tools, within claw's walls and budgets.
"""

import json
import subprocess
import sys
import tempfile

import neutral

request = neutral.read()
command = ["claude", "--print", "--output-format", "stream-json", "--include-partial-messages", "--verbose"]
command += ["--tools", "", "--setting-sources", "", "--strict-mcp-config", "--disable-slash-commands"]
command += ["--no-session-persistence"]
if "model" in request:
    command += ["--model", request["model"]]


def tokens(usage):
    read_before = usage.get("cache_read_input_tokens", 0)
    read = usage.get("input_tokens", 0) + usage.get("cache_creation_input_tokens", 0) + read_before
    return {"input": read, "cached": read_before, "output": usage.get("output_tokens", 0)}


# What is in an argument can be seen by every user of the machine, and may be too long for one.
with (
    tempfile.NamedTemporaryFile("w", encoding="utf-8") as system,
    tempfile.TemporaryFile("w+", encoding="utf-8") as prompt,
):
    system.write(neutral.system(request))
    system.flush()
    prompt.write(neutral.prompt(request))
    prompt.seek(0)
    command += ["--system-prompt-file", system.name]
    client = subprocess.Popen(command, stdin=prompt, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    answer, result = neutral.Answer(request), {}
    for line in client.stdout:
        event = json.loads(line)
        if event["type"] == "stream_event":
            delta = event["event"].get("delta", {})
            if delta.get("type") == "text_delta":
                answer.add(delta["text"])
        elif event["type"] == "result":
            result = event
    code = client.wait()

if code != 0 or result.get("is_error", True):
    sys.exit(result.get("result") or f"claude ended with {code} and no result")
if not answer.text:
    answer.add(result.get("result", ""))
answer.end(tokens(result.get("usage", {})))
