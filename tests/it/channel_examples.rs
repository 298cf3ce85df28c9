//! The shipped programs of channels: IRC against a small server on loopback, Signal against a program that behaves as
//! the JSON-RPC manual of `signal-cli` says.

use crate::common::{Fixture, Ran, peer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

fn has_python() -> bool {
    let is_there = Command::new("python3").arg("--version").output().is_ok_and(|ran| ran.status.success());
    peer::is_there(is_there, "python3 is not installed")
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/channels").join(name);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.lines().count() < 80, "{name} has {} lines", text.lines().count());
    path.to_str().unwrap().to_owned()
}

/// The contents and the reply addresses of the events in the inbox, in their order.
fn events(ws: &Fixture) -> Vec<(String, String)> {
    let read = |name: &String| serde_json::from_str::<Value>(&ws.read(&format!("inbox/new/{name}"))).unwrap();
    let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    ws.list("inbox/new").iter().map(read).map(|event| (text(&event, "content"), text(&event, "reply_to"))).collect()
}

/// Ends the listener as a user does; it must end well.
fn stop(child: Child) {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// A server for one client at a time: it welcomes the client, sends it three messages, and answers pings. Returns its
/// port, and the lines of the client.
fn irc_server() -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, (tell, hear)) = (listener.local_addr().unwrap().port(), mpsc::channel());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
                let answer = match line.split_once(' ') {
                    Some(("USER", _)) => ":irc.test 001 mybot :Welcome\r\nPING :irc.test\r\n".to_owned(),
                    Some(("JOIN", room)) => format!(
                        ":mybot!m@test JOIN {room}\r\n:ann!a@test PRIVMSG mybot :hello\r\n\
                         :ann!a@test PRIVMSG {room} :nobody is asked\r\n:ann!a@test PRIVMSG {room} :mybot: who are you?\r\n"
                    ),
                    Some(("PING", token)) => format!(":irc.test PONG irc.test {token}\r\n"),
                    _ => String::new(),
                };
                if stream.write_all(answer.as_bytes()).is_err() || tell.send(line).is_err() {
                    break;
                }
            }
        }
    });
    (port, hear)
}

#[test]
fn irc_example_receives_and_sends() {
    if !has_python() {
        return;
    }
    let (port, lines) = irc_server();
    let ws = Fixture::new();
    let program = example("irc.py");
    ws.config(&format!(
        "channels:\n  irc: {{type: exec, command: [python3, {program}, 127.0.0.1, '{port}', mybot, '#garden'], \
         allow: [ann], groups: ['#garden']}}\n"
    ));
    let listener = ws.command(&["listen", "irc"]).spawn().unwrap();
    ws.eventually("both messages are events", |ws| ws.list("inbox/new").len() == 2);
    let [first, second] =
        [("hello", "irc:ann"), ("mybot: who are you?", "irc:#garden")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(events(&ws), [first, second]);
    ws.claw(&["tick"]).ok();
    let mut sent = Vec::new();
    while sent.len() < 2 {
        let line = lines.recv_timeout(Duration::from_secs(30)).unwrap();
        sent.extend(line.strip_prefix("PRIVMSG ").map(|message| message.split_once(' ').unwrap().0.to_owned()));
    }
    sent.sort();
    assert_eq!(sent, ["#garden", "ann"]);
    ws.eventually("both are delivered", |ws| ws.done("outbox").len() == 2);
    stop(listener);
    let kept = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('select count(*) from messages').fetchone()[0])";
    let left = Command::new("python3").args(["-c", kept]).arg(ws.path(".claw/channels/irc/kept.db")).output().unwrap();
    // The message that nobody was asked by is refused, and forgotten, too.
    assert_eq!(String::from_utf8_lossy(&left.stdout), "0\n", "{left:?}");
}

#[test]
fn irc_example_without_a_server_is_unreachable() {
    if !has_python() {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (ws, program) = (Fixture::new(), example("irc.py"));
    ws.config(&format!(
        "channels:\n  irc: {{type: exec, command: [python3, {program}, 127.0.0.1, '{port}', mybot]}}\n"
    ));
    let listener = ws.command(&["listen", "irc"]).spawn().unwrap();
    ws.eventually("it is unreachable", |ws| ws.claw(&["channels"]).out.contains("unreachable since"));
    assert!(ws.claw(&["channels"]).out.contains("refused"));
    stop(listener);
}

/// As `signal-cli -a ACCOUNT jsonRpc --receive-mode=manual`: one JSON-RPC object a line, nothing is received before
/// `subscribeReceive`, and messages are wrapped in an object with the number of the subscription.
const SIGNAL_CLI: &str = r#"#!/usr/bin/env python3
import json, sys
assert sys.argv[1:] == ["-a", "+49151", "jsonRpc", "--receive-mode=manual"], sys.argv
def write(**line):
    print(json.dumps({"jsonrpc": "2.0", **line}), flush=True)
def receive(**message):
    envelope = {"source": "+49170", "sourceNumber": "+49170", "sourceUuid": "u", "sourceName": "Ann", "sourceDevice": 1,
                "timestamp": 1631458508784, **message}
    write(method="receive", params={"subscription": 0, "result": {"envelope": envelope, "account": "+49151"}})
def data(n, text, **more):
    return {"timestamp": n, "message": text, "expiresInSeconds": 0, "viewOnce": False, "mentions": [], "attachments": [], **more}
for line in sys.stdin:
    call = json.loads(line)
    with open("calls", "a") as log:
        log.write(line)
    if call["method"] == "subscribeReceive":
        write(result=0, id=call["id"])
        receive(receiptMessage={"when": 1, "isDelivery": True})
        receive(typingMessage={"action": "STARTED"})
        receive(dataMessage=data(1631458508784, "hello", quote={"id": 1, "author": "+49170", "authorNumber": "+49170", "text": "earlier"}))
        group = {"groupId": "Pmpi+EfPWmsxiomLe9Nx2XF9HOE483p6iKiFj65iMwI=", "type": "DELIVER"}
        receive(dataMessage=data(1631458508785, "a crowd", groupInfo=group))
        receive(dataMessage=data(1631458508786, "and you?", groupInfo=group, mentions=[{"name": "+49151", "number": "+49151", "uuid": "v", "start": 0, "length": 1}]))
    elif call["method"] == "send" and "groupId" in call["params"]:
        write(error={"code": -1, "message": "group not found", "data": None}, id=call["id"])
    elif call["method"] == "send":
        write(result={"timestamp": 999}, id=call["id"])
    else:
        write(error={"code": -32601, "message": "method not found", "data": None}, id=call["id"])
"#;

#[test]
fn signal_example_receives_and_sends() {
    if !has_python() {
        return;
    }
    let (ws, program) = (Fixture::new(), example("signal_messenger.py"));
    ws.write("bin/signal-cli", SIGNAL_CLI);
    fs::set_permissions(ws.path("bin/signal-cli"), PermissionsExt::from_mode(0o755)).unwrap();
    ws.config(&format!(
        "deliver_to: file:home\nchannels:\n  signal: {{type: exec, command: [python3, {program}, '+49151'], allow: ['+49170'], \
         groups: ['Pmpi+EfPWmsxiomLe9Nx2XF9HOE483p6iKiFj65iMwI=']}}\n"
    ));
    let path = format!("{}:{}", ws.path("bin").display(), std::env::var("PATH").unwrap());
    let listener = ws.command(&["listen", "signal"]).env("PATH", path).spawn().unwrap();
    ws.eventually("both messages are events", |ws| ws.list("inbox/new").len() == 2);
    let received = events(&ws);
    assert!(
        received[0].0.starts_with("hello\n\n<data-") && received[0].0.contains("quoted message of +49170"),
        "{received:?}"
    );
    assert_eq!(received[1], ("and you?".to_owned(), "signal:Pmpi+EfPWmsxiomLe9Nx2XF9HOE483p6iKiFj65iMwI=".to_owned()));
    ws.claw(&["tick"]).ok();
    ws.eventually("one is sent, one has failed", |ws| {
        ws.done("outbox").len() == 1 && ws.list("outbox/failed").iter().any(|name| name.ends_with(".reason"))
    });
    let calls = ws.read("calls");
    let calls: Vec<Value> = calls.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(calls.iter().any(|call| call["params"]["recipient"] == json!(["+49170"])), "{calls:#?}");
    let reason = ws.list("outbox/failed").into_iter().find(|name| name.ends_with(".reason")).unwrap();
    assert!(ws.read(&format!("outbox/failed/{reason}")).contains("group not found"));
    stop(listener);
}
