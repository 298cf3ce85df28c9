//! The fuzz targets: one function for each format from outside. It takes any bytes and panics if the program
//! breaks a promise. `fuzz_targets/` and `tests/proof/fuzz.rs` feed it; an `Err` of the program is an answer, a
//! panic of it is a finding.

mod dropped;
mod json;
mod listener;
mod place;
mod stream;
mod web;

use claw::channel;
use claw::core::config::{self, Config};
use claw::core::definition::skill;
use claw::core::definition::{self, Agent};
use claw::core::event::address::{self, Address};
use claw::core::event::entry::Entry;
use claw::core::event::id::{self, Derived, Id, is_name_byte};
use claw::core::event::session_name;
use claw::core::event::stamp::Stamp;
use claw::core::event::{Draft, Event};
use claw::core::routing::binding::Table;
use claw::core::routing::learned::Learned;
use claw::core::routing::{self, RoutingRules};
use claw::core::session::record::Record;
use claw::core::text::front_matter;
use claw::core::text::problem::Problem;
use claw::core::turn;
use claw::store::agent::problems;
use claw::store::session::log::{self, SessionLog};
use claw::store::skills;
use serde_json::{Map, Value};
use std::fs;

pub use dropped::drop;
pub use json::json;
pub use listener::{web_frame, webhook};
use place::{SETTINGS, at_place};
pub use stream::{events, lines, program, update};
pub use web::{page, place};

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("event", event),
    ("front_matter", front_matter),
    ("session_log", session_log),
    ("config", config),
    ("drop", drop),
    ("names", names),
    ("page", page),
    ("events", events),
    ("lines", lines),
    ("program", program),
    ("update", update),
    ("place", place),
    ("json", json),
    ("web_frame", web_frame),
    ("webhook", webhook),
];

/// An event file, as in a mailbox or dropped as `.json`.
pub fn event(data: &[u8]) {
    if let Ok(event) = Event::from_json(data) {
        reads_back(&event);
        routes_safely(&event);
        keeps_what_it_does_not_know(data, &event);
    }
    if let Ok(draft) = Draft::from_file("x.json", data) {
        drafts(draft);
    }
}

/// A Markdown file with front matter: a drop, or a definition.
pub fn front_matter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(parts) = front_matter::split(text) {
        let yaml = parts.yaml.unwrap_or_default();
        assert!(text.ends_with(parts.body) && text.contains(yaml), "a part that was not in the file");
        assert!(yaml.len() <= front_matter::MAX, "front matter of {} bytes", yaml.len());
    }
    let place = |read: Result<Vec<Problem>, Problem>| {
        read.unwrap_or_else(|problem| vec![problem]).iter().for_each(|problem| is_placed(problem, text));
    };
    place(definition::agent::read("a", "A", text, None).map(|(_, warnings)| warnings));
    place(skill::read("s", "S", text).map(|(_, warnings)| warnings));
    place(definition::cron::read("c", "C", text, Stamp(1_800_000_000_000_000).timestamp()).map(|(cron, warnings)| {
        assert_eq!(cron.timing_text.parse().as_ref(), Ok(&cron.timing), "a canonical form that is read otherwise");
        warnings
    }));
    if let Ok(draft) = Draft::from_file("x.md", data) {
        drafts(draft);
    }
}

/// A session's log: complete lines are read, a torn one is cut, and lines appended afterwards are read too.
pub fn session_log(data: &[u8]) {
    const NAME: &str = "pickle.x";
    let end = data.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    let lines = data[..end].split_inclusive(|b| *b == b'\n');
    let expected: Vec<Record> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    at_place(|place| {
        let workspace = place.workspace();
        fs::create_dir_all(place.path("sessions").join(NAME)).unwrap();
        let path = place.path("sessions").join(NAME).join("log.jsonl");
        fs::write(&path, data).unwrap();
        let id = Id::new(Stamp(0), 0);
        assert_eq!(log::read(&workspace, NAME, &id).unwrap(), expected, "a reader lost an intact line");
        let bad = log::unreadable_lines(&workspace, NAME).unwrap();
        let (mut log, records) = SessionLog::open(&workspace, NAME, &id).unwrap();
        assert_eq!(records, expected, "the lane's holder lost an intact line");
        assert_eq!(fs::read(&path).unwrap(), &data[..end], "a repair cuts the torn line and nothing else");
        let added = Record::Done { at: Stamp(0).timestamp(), ids: vec![id.clone()], out: Vec::new(), said: None };
        log.append(std::slice::from_ref(&added)).unwrap();
        log.commit().unwrap();
        let after = log::read(&workspace, NAME, &id).unwrap();
        assert_eq!(after.split_last(), Some((&added, &expected[..])), "what was appended is not the next record");
        let left = log::unreadable_lines(&workspace, NAME).unwrap();
        assert!(bad.starts_with(&left), "an append made a line unreadable: {left:?}, before {bad:?}");
        assert_eq!(turn::next(&turn::replay(after, &id), 9), turn::Step::Publish(Vec::new()));
    });
    for record in &expected {
        let text = serde_json::to_string(record).unwrap();
        let again: Record = serde_json::from_str(&text).unwrap();
        assert!(same_json(&text, &serde_json::to_string(&again).unwrap()), "{text}");
        if let Record::In { event, .. } = record {
            let _ = turn::next(&turn::replay(expected.iter().cloned(), &event.id), 9);
        }
    }
}

/// `claw.yaml`, with its models, agents and destinations.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match config::parse(text) {
        Ok((config, warnings)) => {
            for warning in &warnings {
                is_placed(warning, text);
            }
            assert!(config.max_concurrency > 0 && session_name::check_agent(&config.default_agent).is_ok());
            // Warnings would be printed on stderr, every time.
            if warnings.is_empty() {
                settings(text, &config);
            }
        }
        Err(problem) => is_placed(&problem, text),
    }
}

fn settings(text: &str, config: &Config) {
    let agent = Agent::default();
    for name in config.models.keys() {
        let chosen = config.resolve_model(&agent, Some(name)).unwrap();
        assert!(chosen.model.provider.is_some(), "model {name} without a provider");
    }
    if let Ok(chosen) = config.resolve_model(&agent, None) {
        assert_eq!(chosen.name, config.model);
    }
    // Opening checks for a network file system, and asks the settings about it.
    at_place(|place| {
        fs::write(place.path("claw.yaml"), text).unwrap();
        let workspace = place.workspace();
        let _ = problems::of(&workspace);
        let _ = skills::problems(&workspace);
        workspace.default_destination().unwrap();
        if let Some(address) = &config.deliver_to {
            let _ = channel::check(&workspace, address);
        }
        fs::write(place.path("claw.yaml"), SETTINGS).unwrap();
    });
}

/// Names read from or written into file names: files in mailboxes, ids, addresses, sessions, instants.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(entry) = Entry::parse(text) {
        assert_eq!(entry.to_string(), text);
        assert!(entry.lane.bytes().all(is_name_byte), "{text}");
    }
    if let Some(stamp) = Stamp::parse(text) {
        assert_eq!(stamp.to_string(), text);
    }
    if let Ok(id) = Id::parse(text) {
        assert_eq!(id.as_str(), text);
        assert!(text.len() <= id::MAX && is_safe(text), "{text}");
        for what in [Derived::Reply, Derived::Memory, Derived::Notice] {
            let child = id.derive(what, 1);
            assert_eq!(Id::parse(child.as_str()), Ok(child.clone()));
            assert!(child.stamp() == id.stamp() && child.is_derived());
        }
        let entry = Entry::fresh(id, "lane");
        assert_eq!(Entry::parse(&entry.to_string()), Some(entry));
    }
    if let Ok(address) = Address::parse(text) {
        assert_eq!(format!("{}:{}", address.channel(), address.rest()), text);
        let lane = session_name::at("pickle", &address);
        assert!(is_safe(&lane) && is_safe(&address.slug()) && lane.len() <= session_name::MAX, "{lane}");
        assert_eq!(session_name::agent(&lane), "pickle");
    }
    let safe = address::safe_name(text, 60);
    assert!(is_safe(&safe) && safe.len() <= 60, "{safe}");
    for agent in [None, Some("cookie")] {
        if let Ok(full) = session_name::qualify(text, agent, "pickle") {
            assert!(is_safe(&full) && full.len() <= session_name::MAX, "{full}");
            assert_eq!(session_name::qualify(&full, agent, "pickle").as_ref(), Ok(&full), "a name is qualified once");
        }
    }
}

/// Whether `name` is the name of one file, and not hidden.
fn is_safe(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_name_byte)
}

/// An event is read as it was written, in its box and in its session's log.
fn reads_back(event: &Event) {
    let text = event.to_json().unwrap();
    let again =
        Event::from_json(text.as_bytes()).unwrap_or_else(|fault| panic!("it cannot be read back: {fault}\n{text}"));
    assert!(same_json(&again.to_json().unwrap(), &text), "{text}");
    let line = Record::In { at: Stamp(0).timestamp(), event: Box::new(again) };
    let line = serde_json::to_string(&line).unwrap();
    let read = serde_json::from_str::<Record>(&line);
    assert!(read.is_ok(), "its line in a log cannot be read: {read:?}\n{line}");
}

/// Unknown fields stay with the event.
fn keeps_what_it_does_not_know(data: &[u8], event: &Event) {
    const KNOWN: &[&str] = &[
        "v",
        "id",
        "kind",
        "from",
        "source",
        "reply_to",
        "agent",
        "session",
        "content",
        "text",
        "in_reply_to",
        "created_at",
        "not_before",
        "expires_at",
        "error",
        "hops",
        "attachments",
        "meta",
    ];
    let fields: Map<String, Value> = serde_json::from_slice(data).unwrap();
    let written: Map<String, Value> = serde_json::from_str(&event.to_json().unwrap()).unwrap();
    for (key, value) in fields.iter().filter(|(key, _)| !KNOWN.contains(&&key[..])) {
        assert!(written.get(key).is_some_and(|kept| same(kept, value)), "field {key} was lost");
    }
}

fn routes_safely(event: &Event) {
    let (table, is_agent) = (Table::default(), |name: &str| name == "cookie");
    let rules = RoutingRules { default_agent: "pickle", main: None, table: &table, is_agent: &is_agent };
    let Ok(decision) = routing::decide(event, &Learned::default(), &rules) else { return };
    assert!(is_safe(&decision.lane) && decision.lane.len() <= session_name::MAX, "{}", decision.lane);
    assert!(is_safe(&event.reply_to.slug()));
}

fn drafts(draft: Draft) {
    let me = Address::parse("cli:me").unwrap();
    let id = Id::new(Stamp(1), 1);
    let content = draft.content.clone();
    let event = draft.complete(id.clone(), Stamp(1), &me, &me);
    assert_eq!((&event.id, event.hops, Some(&event.content)), (&id, 0, content.as_ref()));
    reads_back(&event);
    routes_safely(&event);
}

/// A problem has a place in its file, or none.
fn is_placed(problem: &Problem, text: &str) {
    if let Some((line, column)) = problem.at {
        // YAML knows more line ends than a text file.
        let lines = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 1;
        assert!((1..=lines + 1).contains(&line) && column > 0, "{problem}");
    }
}

/// Whether two texts are the same JSON. A number with a fraction may differ in its last digit: the parser is the
/// fast one, which is not exact.
fn same_json(one: &str, other: &str) -> bool {
    let value = |text: &str| serde_json::from_str(text).unwrap();
    one == other || same(&value(one), &value(other))
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            (a - b).abs() <= a.abs() * 1e-15 + f64::MIN_POSITIVE
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}
