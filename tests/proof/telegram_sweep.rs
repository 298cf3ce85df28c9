//! Kills of a Telegram listener and of deliveries, before their durable calls and before their calls on sockets. The
//! service keeps a ledger of what was acknowledged and of what was sent.

use crate::common::checker::violations;
use crate::common::proof::Proof;
use crate::common::scenes::{Faults, recover, synced, trusted};
use crate::common::sweep::{At, Hit, Scenario};
use crate::common::telegram::{TOKEN, Telegram};
use crate::common::{Fixture, Ran};
use serde_json::Value;
use std::collections::BTreeMap;

const LISTEN: &[&str] = &["listen", "telegram", "--once"];
const DELIVER: &[&str] = &["deliver"];
const TEXTS: [&str; 3] = ["hello 1", "hello 2", "hello 3"];
const MARK: &str = "(possibly repeated)\n";

/// Listens once; the kernel may not yet have released the lock of a killed listener.
fn listen(ws: &Fixture) -> Ran {
    (0..100).map(|_| ws.claw(LISTEN)).find(|ran| ran.code != 75).unwrap_or_else(|| ws.claw(LISTEN))
}

/// The number of events for each text.
fn events(ws: &Fixture) -> BTreeMap<String, usize> {
    let mut texts = BTreeMap::new();
    let done = ws.done("inbox");
    for path in ws.list("inbox/done").iter().flat_map(|day| done.iter().map(move |n| format!("inbox/done/{day}/{n}"))) {
        let Ok(text) = std::fs::read_to_string(ws.path(&path)) else { continue };
        let event: Value = serde_json::from_str(&text).unwrap();
        *texts.entry(event["content"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    texts
}

/// Brings everything to its end, and returns the violations. `is_received`: the messages had arrived before the command.
fn judge(ws: &Fixture, telegram: &Telegram, is_received: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for _ in 0..2 {
        let ran = listen(ws);
        wrong.extend((ran.code != 0).then(|| format!("exit {}: {}", ran.code, ran.err)));
        recover(ws);
        ws.hurry();
    }
    ws.claw(DELIVER);
    let ids: Vec<String> = ws.done("inbox").iter().map(|name| name.trim_end_matches(".json").to_owned()).collect();
    wrong.extend(violations(ws, &ids));
    let found = events(ws);
    for text in TEXTS {
        let count = found.get(text).copied().unwrap_or_default();
        wrong.extend((count != 1).then(|| format!("`{text}` is {count} events")));
    }
    let ledger = telegram.ledger();
    if !is_received {
        let confirmed = ledger.confirmed.len();
        wrong.extend((confirmed != TEXTS.len()).then(|| format!("{confirmed} are acknowledged")));
    }
    let marked = ledger.sent.iter().filter(|sent| sent.text.starts_with(MARK)).count();
    let (all, unmarked) = (ledger.sent.len(), ledger.sent.len() - marked);
    // One kill leaves at most one unknown part, because the lane has one delivery in progress.
    if all < TEXTS.len() || all > TEXTS.len() + marked || unmarked > TEXTS.len() || marked > 1 {
        wrong.push(format!("{all} sent for {} answers, {marked} of them marked", TEXTS.len()));
    }
    wrong.extend(ledger.broken.clone());
    wrong
}

fn with_channel(telegram: &Telegram) -> Fixture {
    let ws = synced();
    ws.write("bot.token", TOKEN);
    let url = telegram.url();
    ws.config(&format!("channels:\n  telegram: {{token_file: bot.token, base_url: '{url}', allow: [42]}}\n"));
    ws
}

type Row<'a> = (&'a str, &'a Fixture, &'a [&'a str], &'a dyn Fn(), At);

#[test]
fn killed_listener_and_deliveries_lose_nothing_and_double_nothing_silently() {
    let mut proof = Proof::begin("kill -9 of Telegram's listener and deliveries before durable and socket calls");
    let telegram = Telegram::start();
    let receives = with_channel(&telegram);
    let delivers = trusted(&receives);
    let arrive = || {
        telegram.reset();
        for text in TEXTS {
            telegram.message(42, text);
        }
    };
    arrive();
    listen(&delivers).ok();
    delivers.claw(&["route"]).ok();
    delivers.claw(&["run-agent"]).ok();
    assert_eq!(delivers.list("outbox/ready").len(), TEXTS.len());
    let reset = || telegram.reset();
    let rows: [Row; 4] = [
        ("listen", &receives, LISTEN, &arrive, At::Calls(Faults::Kills(29))),
        ("listen, sockets", &receives, LISTEN, &arrive, At::Sockets(9)),
        ("deliver", &delivers, DELIVER, &reset, At::Calls(Faults::Kills(11))),
        ("deliver, sockets", &delivers, DELIVER, &reset, At::Sockets(4)),
    ];
    for (name, template, command, prepare, at) in rows {
        let judge = |ws: &Fixture, _: &Hit| judge(ws, &telegram, name.starts_with("deliver"));
        proof.sweep(at, &Scenario { name, template, copy: trusted, command, prepare, judge: &judge });
    }
    proof.judge(6);
}
