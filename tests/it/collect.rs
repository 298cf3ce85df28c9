//! Messages that arrive during a turn: each is a turn of its own, or all waiting ones are one.

use crate::common::Fixture;
use serde_json::{Value, json};

/// A workspace whose model repeats the last message.
fn echoing(queue: &str) -> Fixture {
    let ws = Fixture::new();
    ws.write(
        "model.py",
        "import json, sys\nprint('[' + json.load(sys.stdin)['messages'][-1]['content'].rsplit(' [', 1)[0] + ']')\n",
    );
    ws.model("echo", "provider: command, command: [python3, model.py]");
    ws.write("agents/pickle/AGENT.md", &format!("---\nname: Pickle\n{queue}\n---\nEcho.\n"));
    ws
}

fn send(ws: &Fixture, more: &[&str], text: &str) -> String {
    ws.claw(&[&["send"], more, &[text]].concat()).ok().trim().to_owned()
}

fn answers(ws: &Fixture, place: &str) -> Vec<String> {
    let dir = format!("outbox/files/{place}");
    ws.list(&dir).iter().map(|name| ws.read(&format!("{dir}/{name}")).trim_end().to_owned()).collect()
}

/// The ids of every `done` line.
fn ends(ws: &Fixture, session: &str) -> Vec<usize> {
    let log = ws.read(&format!("sessions/{session}/log.jsonl"));
    let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|r| r["t"] == "done").map(|r| r["ids"].as_array().unwrap().len()).collect()
}

#[test]
fn waiting_messages_are_collected_only_if_configured() {
    for (queue, expected) in
        [("queue: collect", vec!["[one\n\ntwo\n\nthree]"]), ("", vec!["[one]", "[two]", "[three]"])]
    {
        let ws = echoing(queue);
        let ids = ["one", "two", "three"].map(|text| send(&ws, &["--from", "file:a"], text));
        ws.claw(&["tick"]).ok();
        assert_eq!(answers(&ws, "a"), expected);
        assert_eq!((ws.done("inbox").len(), ws.pending()), (3, vec![]));
        let why = ws.claw(&["why", &ids[2]]).ok();
        let first = &ids[0][ids[0].len() - 6..];
        assert_eq!(why.contains(&format!("turn    with {first}\n")), expected.len() == 1, "{why}");
        assert!(why.contains("sent    file:a"), "{why}");
    }
}

#[test]
fn other_destinations_models_and_kinds_are_not_collected() {
    let ws = echoing("queue: collect");
    let session = ["--session", "pickle.work"];
    let to = |place: &'static str| [&session[..], &["--from", "cli:x", "--reply-to", place]].concat();
    for (place, text) in [("file:a", "1"), ("file:a", "2"), ("file:b", "3"), ("file:a", "4"), ("file:a", "5")] {
        send(&ws, &to(place), text);
    }
    ws.publish(&json!({"kind": "result", "from": "file:a", "session": "pickle.work", "content": "6"}));
    ws.claw(&["route"]).ok();
    send(&ws, &to("file:a"), "7");
    send(&ws, &to("file:a"), "/session");
    ws.claw(&["tick"]).ok();
    let texts = answers(&ws, "a");
    let own: Vec<&str> = texts.iter().map(String::as_str).filter(|text| text.starts_with('[')).collect();
    assert_eq!((own, answers(&ws, "b")), (vec!["[1\n\n2]", "[4\n\n5]", "[6]", "[7]"], vec!["[3]".to_owned()]));
    assert!(texts.iter().any(|text| text.starts_with("session: pickle.work")), "{texts:?}");
    assert_eq!(ends(&ws, "pickle.work"), [2, 1, 2, 1, 1]);
}

#[test]
fn message_during_a_turn_waits_for_the_next_and_can_be_followed() {
    let ws = echoing("queue: collect");
    ws.write("model.py", "import json, os, sys\ntext = json.load(sys.stdin)['messages'][-1]['content'].rsplit(' [', 1)[0]\nif text == 'hang':\n    open('hangs', 'w').close()\n    open('gate').read()\nprint('[' + text + ']')\n");
    assert_eq!(ws.shell("mkfifo gate").code, 0);
    let supervisor = ws.supervise(&[]);
    send(&ws, &["--from", "file:a"], "hang");
    ws.eventually("the turn hangs", |ws| ws.path("hangs").exists());
    let ids = ["one", "two"].map(|text| send(&ws, &["--from", "file:a"], text));
    ws.eventually("both are routed", |ws| ws.list("inbox/ready").len() == 2);
    ws.write("gate", "");
    ws.eventually("all is answered", |ws| answers(ws, "a").len() == 2 && ws.pending().is_empty());
    assert_eq!(answers(&ws, "a"), ["[hang]", "[one\n\ntwo]"]);
    // A process waiting for the second message gets the common answer.
    assert_eq!(ws.claw(&["run-agent", &ids[1]]).ok(), format!("{}.r01\n", ids[0]));
    assert_eq!(supervisor.stop().code, 0);
}
