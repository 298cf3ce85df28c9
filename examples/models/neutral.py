"""What the adapters in this folder share: claw's request in, a reply out (docs/models.md has the format).

A client for text knows one system prompt and one prompt. So the tools go into the system prompt, with the way
to call them, and a conversation goes in as lines of JSON, which no text in it can be taken for.
"""

import codecs
import json
import os
import sys

TOOLS = """

You can call tools. To call some, answer with nothing but a JSON object of this form, without a word beside it:
{"calls": [{"name": "TOOL", "arguments": {}}]}
You will then be told what came of each. Whatever else you answer goes to the user. The tools, each with the JSON
Schema of its arguments:
"""


def read():
    return json.load(sys.stdin)


def system(request):
    if not may_call(request):
        return request["system"]
    return request["system"] + TOOLS + "\n".join(line(tool) for tool in request["tools"])


def prompt(request):
    messages = request["messages"]
    if len(messages) == 1:
        return messages[0]["content"]
    said = "\n".join(line(message) for message in messages)
    return f"This is the conversation so far, a line of JSON for each message. Answer the last one.\n\n{said}"


def may_call(request):
    return bool(request.get("tools")) and not request.get("must_answer")


def line(value):
    return json.dumps(value, ensure_ascii=False)


def pieces(pipe):
    """The text of a pipe as it comes; a character may be cut in two."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while chunk := os.read(pipe.fileno(), 65536):
        yield decoder.decode(chunk)


class Answer:
    """Passes text on as it comes, once it cannot be calls any more."""

    def __init__(self, request):
        self.text, self.told, self.may_call = "", 0, may_call(request)

    def add(self, text):
        self.text += text
        begin = self.text.lstrip()
        if begin and not (self.may_call and begin.startswith(("{", "`"))):
            if piece := self.text[self.told:]:
                print(line({"delta": piece}), flush=True)
            self.told = len(self.text)

    def end(self, usage=None):
        reply = {"content": self.text.strip()}
        if self.may_call and (calls := self.calls()):
            reply = {"calls": calls}
        if usage:
            reply["usage"] = usage
        print(line(reply))

    def calls(self):
        """The calls that the text is; models like to fence what they were told not to."""
        text = self.text.strip()
        if text.startswith("```"):
            text = text.partition("\n")[2].rpartition("```")[0]
        try:
            return json.loads(text)["calls"]
        except (ValueError, KeyError, TypeError):
            return None
