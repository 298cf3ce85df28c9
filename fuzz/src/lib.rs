//! What is fuzzed: one function for each format that comes from outside. It takes any bytes and panics
//! where the program breaks a promise. `fuzz_targets/` and `tests/fuzz.rs` feed it; an `Err` of the
//! program is an answer, a panic of it is a finding.

use claw::core::address::{self, Address};
use claw::core::config::{self, Config};
use claw::core::definition::{self, Agent};
use claw::core::entry::Entry;
use claw::core::event::{Draft, Event};
use claw::core::front_matter;
use claw::core::id::{self, Derived, Id, is_name_byte};
use claw::core::problem::Problem;
use claw::core::routing::{self, Learned};
use claw::core::session;
use claw::core::stamp::Stamp;
use claw::core::turn::{self, Record};
use claw::store::boxes::{Side, State};
use claw::store::session_log::{self, SessionLog};
use claw::store::workspace::Workspace;
use claw::store::{definitions, drops, spool};
use claw::world::World;
use claw::{channel, stage};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use walkdir::WalkDir;

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
];

/// An event file, as it lies in a box or is dropped as `.json`.
pub fn event(data: &[u8]) {
    if let Ok(event) = Event::from_json(data) {
        reads_back(&event);
        routes_safely(&event);
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
    place(definition::agent("a", "A", text, None).map(|(_, warnings)| warnings));
    place(definition::skill("S", text).map(|(_, warnings)| warnings));
    place(definition::cron("c", "C", text).map(|(_, warnings)| warnings));
    if let Ok(draft) = Draft::from_file("x.md", data) {
        drafts(draft);
    }
}

/// A session's log: whole lines are read, a torn one is cut, and what is appended afterwards is read too.
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
        assert_eq!(session_log::read(&workspace, NAME).unwrap(), expected, "a reader lost an intact line");
        let bad = session_log::unreadable_lines(&workspace, NAME).unwrap();
        let (mut log, records) = SessionLog::open(&workspace, NAME).unwrap();
        assert_eq!(records, expected, "the lane's holder lost an intact line");
        assert_eq!(fs::read(&path).unwrap(), &data[..end], "a repair cuts the torn line and nothing else");
        let id = Id::new(Stamp(0), 0);
        let added = Record::Done { at: Stamp(0).timestamp(), ids: vec![id.clone()], out: Vec::new() };
        log.append(std::slice::from_ref(&added)).unwrap();
        log.commit().unwrap();
        let after = session_log::read(&workspace, NAME).unwrap();
        assert_eq!(after.split_last(), Some((&added, &expected[..])), "what was appended is not the next record");
        let left = session_log::unreadable_lines(&workspace, NAME).unwrap();
        assert!(bad.starts_with(&left), "an append made a line unreadable: {left:?}, before {bad:?}");
        assert_eq!(turn::next(&turn::replay(after, &id)), turn::Step::Publish(Vec::new()));
    });
    for record in &expected {
        let text = serde_json::to_string(record).unwrap();
        let again: Record = serde_json::from_str(&text).unwrap();
        assert!(same_json(&text, &serde_json::to_string(&again).unwrap()), "{text}");
        if let Record::In { event, .. } = record {
            let _ = turn::next(&turn::replay(expected.iter().cloned(), &event.id));
        }
    }
}

/// `claw.yaml`, and what it says about models, agents and destinations.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Known: nothing bounds this file. `a_claw_yaml_made_to_hang_…` in tests/fuzz.rs shows it.
    if text.len() > front_matter::MAX || front_matter::has_aliases(text) {
        return;
    }
    match config::parse(text) {
        Ok((config, warnings)) => {
            for warning in &warnings {
                is_placed(warning, text);
            }
            assert!(config.max_concurrency > 0 && session::check_agent(&config.default_agent).is_ok());
            // Warnings would be said on stderr, every time.
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
        let chosen = config.choose(&agent, Some(name)).unwrap();
        assert!(chosen.model.provider.is_some(), "model {name} without a provider");
    }
    if let Ok(chosen) = config.choose(&agent, None) {
        assert_eq!(chosen.name, config.model);
    }
    // A network file system is looked for, and the answer asked of the settings, when it is opened.
    at_place(|place| {
        fs::write(place.path("claw.yaml"), text).unwrap();
        let workspace = place.workspace();
        let _ = definitions::problems(&workspace);
        workspace.home().unwrap();
        if let Some(address) = &config.deliver_to {
            let _ = channel::check(&workspace, address);
        }
        fs::write(place.path("claw.yaml"), SETTINGS).unwrap();
    });
}

/// A dropped file, `box/name/content`: left alone, or an event, or in `failed/` with its bytes and a reason.
pub fn drop(data: &[u8]) {
    let mut parts = data.splitn(3, |b| *b == b'/');
    let side = if parts.next() == Some(b"outbox") { Side::Outbox } else { Side::Inbox };
    let (name, content) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    at_place(|place| {
        let workspace = place.workspace();
        let path = place.path(side.name()).join(OsStr::from_bytes(name));
        let is_new = !name.is_empty() && !name.contains(&0) && path.symlink_metadata().is_err();
        if !is_new || fs::write(&path, content).is_err() {
            return;
        }
        let is_refused = drops::refusal(&path).is_some();
        take(&workspace, side);
        let left = place.boxes();
        if is_refused {
            assert_eq!(left, BTreeMap::from([(path, content.to_vec())]), "it was to be left alone");
        } else {
            ended(&workspace, side, &path, content, &left);
        }
        take(&workspace, side);
        assert_eq!(place.boxes(), left, "to look once more changed something");
    });
}

fn take(workspace: &Workspace, side: Side) {
    match side {
        Side::Inbox => stage::route::all(workspace).map(|_| ()),
        Side::Outbox => stage::take_in(workspace, side).map(|_| ()),
    }
    .expect("a drop is never the machine's trouble");
}

/// Whether what was dropped is an event, or failed with its reason, and there is nothing else.
fn ended(workspace: &Workspace, side: Side, path: &Path, content: &[u8], left: &BTreeMap<PathBuf, Vec<u8>>) {
    let name = path.file_name().unwrap().to_string_lossy();
    let mut known = 0;
    let mut one = |path: PathBuf| {
        known += 1;
        left.get(&path).unwrap_or_else(|| panic!("there is no {}", path.display()))
    };
    let (mut events, mut refused) = (Vec::new(), 0);
    for state in [State::New, State::Ready, State::Failed] {
        for entry in spool::list(workspace, side, state).unwrap() {
            let file = side.dir(workspace, state).join(entry.to_string());
            one(file.clone());
            if state == State::Failed {
                assert!(!one(side.reason(workspace, &entry.id)).is_empty(), "failed without a reason");
                refused += 1;
            }
            events.extend(spool::read_event(&file, &entry.id));
        }
    }
    let failed = side.dir(workspace, State::Failed);
    for file in left.keys().filter(|file| file.parent() == Some(&failed) && file.extension() == Some("drop".as_ref())) {
        assert_eq!(one(file.clone()), content, "a failed drop keeps its bytes");
        let id = file.file_name().unwrap().to_str().and_then(|name| name.split_once('~')).unwrap().0;
        let id = Id::parse(id).unwrap();
        assert!(!one(side.reason(workspace, &id)).is_empty(), "failed without a reason");
    }
    if side == Side::Inbox {
        // Word of a failure goes to whoever sent it.
        for entry in spool::list(workspace, Side::Outbox, State::Ready).unwrap() {
            let file = Side::Outbox.dir(workspace, State::Ready).join(entry.to_string());
            assert!(spool::read_event(&file, &entry.id).unwrap().error.is_some());
            one(file);
        }
    }
    assert_eq!(known, left.len(), "something else is left: {:#?}", left.keys());
    match Draft::from_file(&name, content) {
        Ok(draft) if !events.is_empty() => {
            assert_eq!(events.len(), 1, "one drop, {} events", events.len());
            assert_eq!((&events[0].content, &events[0].hops), (&draft.content.unwrap(), &0));
        }
        // A good file that this box does not take, or an event that was refused later.
        Ok(_) => assert!(side == Side::Outbox || refused == 1, "a good drop became no event"),
        Err(_) => assert!(events.is_empty(), "a bad drop became an event"),
    }
}

/// Everything that is read out of a name or into one: files in boxes, ids, addresses, sessions, instants.
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
        let lane = session::at("pickle", &address);
        assert!(is_safe(&lane) && is_safe(&address.slug()) && lane.len() <= session::MAX, "{lane}");
        assert_eq!(session::agent(&lane), "pickle");
    }
    let safe = address::safe_name(text, 60);
    assert!(is_safe(&safe) && safe.len() <= 60, "{safe}");
    for agent in [None, Some("cookie")] {
        if let Ok(full) = session::named(text, agent, "pickle") {
            assert!(is_safe(&full) && full.len() <= session::MAX, "{full}");
            assert_eq!(session::named(&full, agent, "pickle").as_ref(), Ok(&full), "a name is qualified once");
        }
    }
}

/// Whether `name` is one file's name, and no hidden one.
fn is_safe(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_name_byte)
}

/// An event is read as it was written, in its box and in its session's log.
fn reads_back(event: &Event) {
    let text = event.to_json().unwrap();
    let again = match Event::from_json(text.as_bytes()) {
        // Known: front matter may be one level deeper than JSON. The event then fails, with that as its reason.
        Err(fault) if fault.message.contains("recursion limit") => return,
        other => other.unwrap_or_else(|fault| panic!("it cannot be read back: {fault}\n{text}")),
    };
    assert!(same_json(&again.to_json().unwrap(), &text), "{text}");
    let line = Record::In { at: Stamp(0).timestamp(), event: Box::new(again) };
    let line = serde_json::to_string(&line).unwrap();
    if let Err(error) = serde_json::from_str::<Record>(&line) {
        // Known: one level below the reader's limit. `an_event_as_deep_as_may_be_…` in tests/fuzz.rs shows it.
        assert!(error.to_string().contains("recursion limit"), "its line in a log cannot be read: {error}\n{line}");
    }
}

fn routes_safely(event: &Event) {
    let Ok(decision) = routing::decide(event, &Learned::default(), "pickle") else { return };
    assert!(is_safe(&decision.lane) && decision.lane.len() <= session::MAX, "{}", decision.lane);
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

/// A problem is somewhere in its file, or nowhere.
fn is_placed(problem: &Problem, text: &str) {
    if let Some((line, column)) = problem.at {
        // More ends a line in YAML than in a text file.
        let lines = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 1;
        assert!((1..=lines + 1).contains(&line) && column > 0, "{problem}");
    }
}

/// Whether two texts are the same JSON. A number with a fraction may differ in its last digit: the reader is
/// the fast one, which is not exact.
fn same_json(one: &str, other: &str) -> bool {
    use serde_json::Value;
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
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    one == other || same(&value(one), &value(other))
}

const SETTINGS: &str = "sync: none\n";
const AGENT: &str = "---\nname: Pickle\n---\nYou are Pickle.\n";

/// A workspace that is used again and again by one thread, and emptied in between.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: TempDir::new().unwrap() };
        fs::create_dir_all(place.path("agents/pickle")).unwrap();
        fs::write(place.path("claw.yaml"), SETTINGS).unwrap();
        fs::write(place.path("agents/pickle/AGENT.md"), AGENT).unwrap();
        place.workspace().lay_out().unwrap();
        place
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join("ws").join(relative)
    }

    /// Opened anew, because a workspace reads its settings once.
    fn workspace(&self) -> Workspace {
        Workspace::open(World::real().unwrap(), self.dir.path().join("ws"), true).unwrap()
    }

    /// Every file in both boxes with its bytes. Nothing may lie beside the workspace or deeper than it should.
    fn boxes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let beside: Vec<_> = fs::read_dir(self.dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(beside, ["ws"], "something was written outside");
        let own = fs::read_dir(self.path("")).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
        let known = ["agents", "claw.yaml", "inbox", "outbox", "sessions", "memories", ".claw"];
        own.for_each(|name| assert!(known.contains(&&name[..]), "something was written beside the boxes: {name}"));
        let files = [Side::Inbox, Side::Outbox].map(|side| WalkDir::new(self.path(side.name())));
        let files = files.into_iter().flatten().map(|entry| entry.unwrap()).filter(|entry| !entry.file_type().is_dir());
        files.map(|file| (file.path().to_owned(), fs::read(file.path()).unwrap())).collect()
    }

    fn empty(&self) {
        for path in self.boxes().keys() {
            fs::remove_file(path).unwrap();
        }
        let _ = fs::remove_file(self.path(".claw/routes.jsonl"));
        for day in fs::read_dir(self.path(".claw/journal")).unwrap().flatten() {
            fs::remove_file(day.path()).unwrap();
        }
    }
}

/// Does something in this thread's workspace, and empties it.
fn at_place(work: impl FnOnce(&Place)) {
    thread_local!(static PLACE: OnceCell<Place> = const { OnceCell::new() });
    PLACE.with(|place| {
        let place = place.get_or_init(Place::new);
        work(place);
        place.empty();
    });
}
