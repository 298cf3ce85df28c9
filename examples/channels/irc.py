#!/usr/bin/env python3
"""IRC as a channel of claw: direct messages, and messages in rooms that name the bot. Port 6697 is TLS.

    irc: {type: exec, command: [python3, irc.py, irc.libera.chat, "6697", mybot, "#garden"], groups: ["#garden"]}

A nick proves nothing unless the network guards it. What has arrived is kept until claw has acknowledged it; messages
that come while this program is away are lost, because IRC keeps none.
"""
import json, os, socket, sqlite3, ssl, sys, threading, time, uuid

host, port, nick, *rooms = sys.argv[1:]
kept = sqlite3.connect(os.environ["CLAW_STATE"] + "/kept.db", isolation_level=None, check_same_thread=False)
kept.execute("create table if not exists messages (id text primary key, line text)")
lock, unsent = threading.Lock(), set()  # Not sent until the server has answered the PING behind it.

def say(**line):
    print(json.dumps(line), flush=True)

def irc(line):
    server.sendall((line.replace("\r", " ").replace("\n", " ") + "\r\n").encode())

def from_claw(line):
    if "ping" in line:
        say(pong=line["ping"])
    elif "send" in line:
        send = line["send"]
        for text in (("(perhaps repeated) " if send["maybe_repeated"] else "") + send["text"]).splitlines():
            while text.strip():
                part = text.encode()[:400].decode(errors="ignore")  # A line of IRC has 512 bytes.
                irc(f"PRIVMSG {send['to']} :{part}")
                text = text[len(part):]
        unsent.add(send["id"])
        irc(f"PING :{send['id']}")
    else:
        kept.execute("delete from messages where id = ?", [line.get("ack") or line.get("refused")])

def from_server(line):
    source, line = line[1:].split(" ", 1) if line.startswith(":") else ("", line)
    (command, _, rest), pong = line.partition(" "), line.split(":")[-1]
    target, _, text = rest.partition(" :")
    if command == "PING":
        irc("PONG " + rest)
    elif command == "001":
        any(irc("JOIN " + room) for room in rooms)
    elif command == "PONG" and pong in unsent:
        unsent.remove(pong)
        say(sent=pong)
    elif command == "PRIVMSG":
        message = {"id": str(uuid.uuid4()), "from": source.split("!")[0], "text": text, "time": int(time.time())}
        if target.lower() != nick.lower():
            message.update(chat=target, mentioned=nick.lower() in text.lower())
        kept.execute("insert into messages values (?, ?)", [message["id"], json.dumps(message)])
        say(**message)

def receive():
    for line in server.makefile("rb"):
        with lock:
            from_server(line.decode(errors="replace").rstrip("\r\n"))

def attempt(work):
    try:
        return work()
    except OSError as error:
        print(f"{host}: {error}", file=sys.stderr)
    os._exit(69)  # claw starts this program again after a while.

server = attempt(lambda: socket.create_connection((host, int(port)), timeout=300))  # Servers ping more often.
server = attempt(lambda: ssl.create_default_context().wrap_socket(server, server_hostname=host)) if port == "6697" else server
any(irc(line) for line in [f"NICK {nick}", f"USER {nick} 0 * :{nick}"])
any(say(**json.loads(line)) for (line,) in kept.execute("select line from messages order by rowid").fetchall())
threading.Thread(target=lambda: (attempt(receive), os._exit(69)), daemon=True).start()
for line in sys.stdin:
    with lock:
        from_claw(json.loads(line))
