"""A client of claw's WebSocket, by the library `websockets`. Arguments: the URL, the token. Prints what it got as JSON."""

import asyncio
import json
import sys

import websockets


async def main(url, token):
    got = {"acks": {}, "errors": [], "outbound": []}
    headers = {"Authorization": f"Bearer {token}"}
    async with websockets.connect(url, additional_headers=headers) as socket:
        got["ready"] = json.loads(await socket.recv())
        for text in [
            json.dumps({"id": "1", "content": "remember that one is first"}),
            json.dumps({"id": "2", "content": "remember that two is second", "source": "ci"}),
            json.dumps({"id": "1", "content": "remember that one is first"}),
            json.dumps({"id": "1", "content": "another text"}),
            json.dumps({"id": "3", "content": "hi", "agent_id": "pickle"}),
            json.dumps({"id": "4", "content": "hi", "agent_id": "cookie", "session": "cookie.x"}),
            json.dumps({"id": "5", "content": "remember that three is third", "agent_id": "cookie"}),
            '{"content": nothing}',
            "[]",
        ]:
            await socket.send(text)
        await socket.send(b"\x00binary")
        while len(got["outbound"]) < 3 or len(got["errors"]) < 6:
            frame = json.loads(await asyncio.wait_for(socket.recv(), 15))
            if frame["type"] == "ack":
                got["acks"].setdefault(frame["id"], []).append([frame["event"], frame.get("repeated", False)])
            elif frame["type"] == "error":
                got["errors"].append([frame.get("id"), frame.get("at"), frame["message"]])
            elif frame["type"] == "outbound":
                got["outbound"].append([frame["in_reply_to"], frame["to"]])
                got["cursor"] = frame["cursor"]
    try:
        async with websockets.connect(url, additional_headers={"Authorization": "Bearer claw_wrong"}):
            got["wrong"] = "accepted"
    except websockets.exceptions.InvalidStatus as error:
        got["wrong"] = error.response.status_code
    try:
        async with websockets.connect(f"{url}?token={token}"):
            got["leaked"] = "accepted"
    except websockets.exceptions.InvalidStatus as error:
        got["leaked"] = error.response.status_code
    print(json.dumps(got))


asyncio.run(main(*sys.argv[1:]))
