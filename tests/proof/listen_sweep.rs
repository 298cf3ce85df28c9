//! Kills of a listener before its durable calls, while it receives and while it delivers. The program at the other side
//! keeps a ledger of what was acknowledged and of what it has sent.

use crate::common::checker::violations;
use crate::common::proof::Proof;
use crate::common::scenes::{Faults, recover, synced, trusted};
use crate::common::sweep::{At, Scenario};
use crate::common::{Fixture, Ran};
use serde_json::Value;
use std::collections::BTreeMap;

/// Three messages, until they are acknowledged.
const PROGRAM: &str = r#"
mkdir -p ledger; touch ledger/acked ledger/sent
for n in 1 2 3; do
  grep -qx "$n" ledger/acked || printf '{"id":"%s","from":"ann","text":"hello %s"}\n' "$n" "$n"
done
while IFS= read -r line; do
  case $line in
    *'{"ping"'*) n=${line#*:}; printf '{"pong":%s}\n' "${n%\}}";;
    *'{"ack"'*) n=${line#*:\"}; echo "${n%\"\}}" >>ledger/acked;;
    *'{"refused"'*) echo "$line" >>ledger/refused;;
    *'{"send"'*)
      id=${line#*\"id\":\"}; id=${id%%\"*}
      case $line in *'"maybe_repeated":true'*) echo "$id repeated";; *) echo "$id";; esac >>ledger/sent
      printf '{"sent":"%s"}\n' "$id";;
  esac
done
"#;

const LISTEN: &[&str] = &["listen", "irc", "--once"];

/// Listens once; the watcher of a killed listener may still hold its lock.
fn listen(ws: &Fixture) -> Ran {
    (0..100).map(|_| ws.claw(LISTEN)).find(|ran| ran.code != 75).unwrap_or_else(|| ws.claw(LISTEN))
}

fn ledger(ws: &Fixture, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(ws.path(&format!("ledger/{name}"))).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

/// Brings everything to its end, and returns the violations.
fn judge(ws: &Fixture) -> Vec<String> {
    let mut wrong = Vec::new();
    for _ in 0..2 {
        let ran = listen(ws);
        wrong.extend((ran.code != 0).then(|| format!("exit {}: {}", ran.code, ran.err)));
        recover(ws);
        ws.hurry();
    }
    listen(ws);
    let done = ws.done("inbox");
    let ids: Vec<String> = done.iter().map(|name| name.trim_end_matches(".json").to_owned()).collect();
    wrong.extend(violations(ws, &ids));
    let days = ws.list("inbox/done");
    let mut texts: BTreeMap<String, usize> = BTreeMap::new();
    for path in days.iter().flat_map(|day| done.iter().map(move |name| format!("inbox/done/{day}/{name}"))) {
        let Ok(text) = std::fs::read_to_string(ws.path(&path)) else { continue };
        let event: Value = serde_json::from_str(&text).unwrap();
        *texts.entry(event["content"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    for (number, text) in [(1, "hello 1"), (2, "hello 2"), (3, "hello 3")] {
        let (events, acks) = (texts.get(text).copied().unwrap_or_default(), ledger(ws, "acked").len());
        wrong.extend((events != 1).then(|| format!("message {number} is {events} events, {acks} are acknowledged")));
    }
    let mut sent: BTreeMap<String, usize> = BTreeMap::new();
    for line in ledger(ws, "sent") {
        let (id, is_marked) = line.split_once(' ').map_or((&*line, false), |(id, _)| (id, true));
        let count = sent.entry(id.to_owned()).or_default();
        wrong.extend((*count > 0 && !is_marked).then(|| format!("{id} was sent again without a mark")));
        *count += 1;
    }
    wrong.extend((sent.len() != 3).then(|| format!("answers: {sent:?}")));
    // One kill leaves one unknown message for each delivery in progress, and there is one lane.
    let doubled: usize = sent.values().map(|count| count - 1).sum();
    wrong.extend((doubled > 1).then(|| format!("doubled: {sent:?}")));
    wrong.extend(ledger(ws, "refused"));
    wrong
}

/// A workspace with the channel.
fn with_channel() -> Fixture {
    let ws = synced();
    ws.write("irc.sh", PROGRAM);
    ws.config("channels:\n  irc: {type: exec, command: [sh, irc.sh], allow: [ann]}\n");
    ws
}

#[test]
fn killed_listener_loses_nothing_acknowledged_and_doubles_nothing_silently() {
    let mut proof = Proof::begin("kill -9 of a listener before every durable call");
    let receives = with_channel();
    let delivers = trusted(&receives);
    listen(&delivers).ok();
    delivers.claw(&["tick"]).ok();
    for (name, template) in [("listen", &receives), ("deliver", &delivers)] {
        let judge = |ws: &Fixture, _: &crate::common::sweep::Hit| judge(ws);
        let at = At::Calls(Faults::Kills(if name == "listen" { 61 } else { 31 }));
        proof.sweep(at, &Scenario { name, template, copy: trusted, command: LISTEN, prepare: &|| {}, judge: &judge });
    }
    proof.judge(4);
}
