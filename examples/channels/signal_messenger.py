#!/usr/bin/env python3
"""Signal as a channel of claw, through signal-cli (https://github.com/AsamK/signal-cli).

    signal: {type: exec, command: [python3, signal_messenger.py, "+4915112345678"], allow: ["+4915187654321"]}

Register or link the account with signal-cli first. Senders are phone numbers, or UUIDs where the number is hidden;
groups are their ids. In manual mode signal-cli receives nothing before this program listens; what has arrived is kept
until claw has acknowledged it.
"""
import json, os, sqlite3, subprocess, sys, threading

account, lock = sys.argv[1], threading.Lock()
kept = sqlite3.connect(os.environ["CLAW_STATE"] + "/kept.db", isolation_level=None, check_same_thread=False)
kept.execute("create table if not exists messages (id text primary key, line text)")

def say(**line):
    print(json.dumps(line), flush=True)

def call(id, method, **params):
    signal.stdin.write(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}) + "\n")
    signal.stdin.flush()

def from_claw(line):
    if "ping" in line:
        say(pong=line["ping"])
    elif "send" in line:
        send = line["send"]
        text = ("(perhaps repeated) " if send["maybe_repeated"] else "") + send["text"]
        is_person = send["to"].startswith("+") or len(send["to"]) == 36 and send["to"].count("-") == 4
        call(send["id"], "send", message=text, **({"recipient": [send["to"]]} if is_person else {"groupId": send["to"]}))
    else:
        kept.execute("delete from messages where id = ?", [line.get("ack") or line.get("refused")])

def from_signal(line):
    if line.get("method") == "receive":
        receive(line["params"].get("result", line["params"])["envelope"])
    elif "error" in line and line.get("id") == "subscribe":
        print(line["error"]["message"], file=sys.stderr)
        os._exit(69)
    elif "error" in line:
        say(failed=line["id"], why=line["error"]["message"])
    elif line.get("id") != "subscribe":
        say(sent=line["id"], receipt=str((line.get("result") or {}).get("timestamp", "")))

def receive(envelope):
    data = envelope.get("dataMessage") or {}
    if not data.get("message"):
        return  # Receipts, typing and calls are no messages.
    sender = envelope.get("sourceNumber") or envelope["sourceUuid"]
    message = {"id": f"{sender} {data['timestamp']}", "from": sender, "text": data["message"],
               "time": data["timestamp"] // 1000, "name": envelope.get("sourceName")}
    quote = data.get("quote") or {}
    author = quote.get("authorNumber") or quote.get("author") or ""
    if quote:
        message["quoted"] = {"from": author, "text": quote.get("text"), "own": author == account}
    if data.get("groupInfo"):
        mentioned = any(account in (one.get("number"), one.get("name")) for one in data.get("mentions", []))
        message.update(chat=data["groupInfo"]["groupId"], mentioned=mentioned, reply=author == account)
    kept.execute("insert or ignore into messages values (?, ?)", [message["id"], json.dumps(message)])
    say(**message)

def follow():
    for line in signal.stdout:
        with lock:
            from_signal(json.loads(line))
    os._exit(69)  # claw starts this program again after a while.

signal = subprocess.Popen(["signal-cli", "-a", account, "jsonRpc", "--receive-mode=manual"], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
any(say(**json.loads(line)) for (line,) in kept.execute("select line from messages order by rowid").fetchall())
call("subscribe", "subscribeReceive")
threading.Thread(target=follow, daemon=True).start()
for line in sys.stdin:
    with lock:
        from_claw(json.loads(line))
