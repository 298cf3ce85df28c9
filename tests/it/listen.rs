//! Channels that receive: the line protocol of programs, who may talk, the listener's process.

use crate::common::{Fixture, Ran};
use serde_json::{Value, json};
use std::fs;

/// The part of a program that answers everything: it writes the lines that it reads into `got`.
const ANSWERS: &str = r#"
while IFS= read -r line; do
  printf '%s\n' "$line" >>got
  case $line in
    *'{"ping"'*) n=${line#*:}; printf '{"pong":%s}\n' "${n%\}}";;
    *'{"send"'*) id=${line#*\"id\":\"}; printf '{"sent":"%s","receipt":"r1"}\n' "${id%%\"*}";;
  esac
done
"#;

/// A workspace with the channel `irc`, whose program first runs `script` and then answers everything.
pub(crate) fn with_irc(settings: &str, script: &str) -> Fixture {
    let ws = Fixture::new();
    ws.write("irc.sh", &format!("{script}\n{ANSWERS}"));
    ws.config(&format!("channels:\n  irc: {{type: exec, command: [sh, irc.sh], {settings}}}\n"));
    ws
}

/// Shell that writes this line of JSON.
fn say(line: &Value) -> String {
    format!("printf '%s\\n' '{line}'")
}

fn message(id: &str, from: &str, text: &str) -> Value {
    json!({"id": id, "from": from, "text": text})
}

/// The lines that the program has read, without pings.
fn got(ws: &Fixture) -> Vec<Value> {
    let text = fs::read_to_string(ws.path("got")).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line.get("ping").is_none()).collect()
}

/// The events in the inbox that are not routed.
fn events(ws: &Fixture) -> Vec<Value> {
    ws.list("inbox/new")
        .iter()
        .map(|name| serde_json::from_str(&ws.read(&format!("inbox/new/{name}"))).unwrap())
        .collect()
}

fn once(ws: &Fixture) -> Ran {
    ws.claw(&["listen", "irc", "--once"])
}

#[test]
fn message_is_acknowledged_once_it_is_an_event_and_the_answer_is_sent() {
    let ws = with_irc("allow: [ann]", &say(&message("1", "ann", "hello")));
    once(&ws).ok();
    assert_eq!(got(&ws), [json!({"ack": "1"})]);
    let event = &events(&ws)[0];
    assert_eq!(
        [&event["from"], &event["reply_to"], &event["content"], &event["origin"]["class"]],
        ["irc:ann", "irc:ann", "hello", "known"]
    );
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/ready").len(), 1, "only the listener delivers: {:?}", ws.pending());
    ws.claw(&["deliver"]).ok();
    assert_eq!(ws.list("outbox/ready").len(), 1);
    fs::remove_file(ws.path("got")).unwrap();
    once(&ws).ok();
    let lines = got(&ws);
    assert_eq!((&lines[0], lines.len()), (&json!({"ack": "1"}), 2), "{lines:?}");
    let send = &lines[1]["send"];
    assert_eq!([&send["to"], &send["attempt"], &send["maybe_repeated"]], [&json!("ann"), &json!(1), &json!(false)]);
    assert_eq!((ws.pending(), events(&ws).len()), (vec![], 0), "the repeated message is the same event");
    let day = ws.list("outbox/done").remove(0);
    let receipt = ws.list(&format!("outbox/done/{day}")).into_iter().find(|name| name.ends_with(".receipt")).unwrap();
    assert_eq!(ws.read(&format!("outbox/done/{day}/{receipt}")), "begun\nsent r1\n");
}

#[test]
fn stranger_is_refused_and_only_the_length_is_kept() {
    let ws = with_irc("allow: [ann]", &say(&message("1", "eve", "secret words")));
    once(&ws).ok();
    assert_eq!(got(&ws), [json!({"refused": "1", "why": "the sender may not talk here"})]);
    assert_eq!(events(&ws), [Value::Null; 0]);
    let state: Value = serde_json::from_str(&ws.read(".claw/listeners/irc.json")).unwrap();
    assert_eq!([&state["refused"], &state["refused_bytes"], &state["accepted"]], [1, 12, 0]);
    assert!(!ws.shell("grep -r 'secret words' .claw inbox outbox sessions").out.contains("secret"));
}
