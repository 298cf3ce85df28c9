//! A task of the shared list: a Markdown file in `tasks/open`, `tasks/claimed` or `tasks/done`; the folder is its state.
//! The front matter is for people, and records the condition under which a claim holds. All of it is optional, so that
//! any file dropped into `tasks/open` is a task.

use crate::core::event::address::{Address, safe_name};
use crate::core::event::id::{self, Id};
use crate::core::event::origin::{Origin, SenderClass};
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Result};
use crate::core::text::base32::hash32;
use crate::core::text::front_matter;
use crate::core::text::problem::{self, Problem};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// How often an open task is announced to each watching agent: once, and again after each abandoned claim, up to this
/// number.
pub const ROUNDS: u32 = 3;
/// The longest chain of tasks created while working on tasks.
pub const MAX_HOPS: u32 = 8;
/// The longest file name of a task without its extension, in bytes.
const MAX_NAME: usize = 200;
/// The longest title that is shown, in bytes.
const MAX_TITLE: usize = 160;
/// The keys that describe a claim; they are removed with it.
const CLAIM: [&str; 4] = ["claimed_by", "claimed_at", "session", "process"];

/// The state of a task: the folder of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// It can be claimed.
    Open,
    /// It is claimed.
    Claimed,
    /// It is done.
    Done,
}

impl TaskState {
    /// Every state, in the order of a task's life.
    pub const ALL: [Self; 3] = [Self::Open, Self::Claimed, Self::Done];

    /// The folder's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Claimed => "claimed",
            Self::Done => "done",
        }
    }
}

/// The front matter of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct TaskFields {
    /// The title, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The time of creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// The address of the creator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The address of the claimant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<String>,
    /// The time of the claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<Timestamp>,
    /// The claim holds while this session has unfinished work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The claim holds while the command runs that was started with the claim.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub process: bool,
    /// The number of abandoned claims.
    pub given_up: u32,
    /// The number of tasks in the chain that led to this one.
    #[serde(skip_serializing_if = "is_zero")]
    pub hops: u32,
    /// If an agent created it: the class of the sender for whom it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<SenderClass>,
    /// If an agent created it: the source of text from outside in its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taint: Option<String>,
    /// If an agent created it: the agents whose approvals the work needs, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requesters: Option<String>,
    /// The address that finished it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_by: Option<String>,
    /// The time when it was finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if wants a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A task as read from its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The file's name without `.md`.
    pub id: String,
    /// The state.
    pub state: TaskState,
    /// The front matter.
    pub fields: TaskFields,
    /// The whole file.
    pub text: String,
}

/// The condition under which a claim holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Until it is released by hand.
    Manual,
    /// While this session has unfinished work.
    Session(String),
    /// While the command runs that was started with the claim.
    Process,
}

impl Task {
    /// Reads a task's file.
    ///
    /// # Errors
    /// The problem, with line and column. Likely misspelled keys are returned as warnings.
    pub fn read(id: &str, state: TaskState, text: String) -> std::result::Result<(Self, Vec<Problem>), Problem> {
        let path = format!("tasks/{}/{id}.md", state.name());
        let parts = front_matter::split(&text).map_err(|e| Problem::error(&path, e.message))?;
        let (fields, warnings) = match parts.yaml {
            Some(yaml) => problem::read(&path, yaml, 2)?,
            None => (TaskFields::default(), Vec::new()),
        };
        // Keys of one's own are allowed: only a key that resembles a known one is reported.
        let misspelled = warnings.into_iter().filter(|warning| warning.message.contains("did you mean")).collect();
        Ok((Self { id: id.to_owned(), state, fields, text }, misspelled))
    }

    /// The title in one line: the field `title`, else the first line of text, else the file's name.
    #[must_use]
    pub fn title(&self) -> String {
        let own = self.fields.title.as_deref().map(str::trim).filter(|title| !title.is_empty());
        let first = || self.body().lines().map(|line| line.trim_start_matches('#').trim()).find(|l| !l.is_empty());
        let title = own.or_else(first).unwrap_or(&self.id);
        let line: String = title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        crate::core::text::cut::cut(&line, MAX_TITLE).to_owned()
    }

    /// The text after the front matter.
    #[must_use]
    pub fn body(&self) -> &str {
        front_matter::split(&self.text).map_or(self.text.as_str(), |parts| parts.body).trim()
    }

    /// The condition under which its claim holds.
    #[must_use]
    pub fn hold(&self) -> Hold {
        match &self.fields.session {
            Some(session) => Hold::Session(session.clone()),
            None if self.fields.process => Hold::Process,
            None => Hold::Manual,
        }
    }

    /// The short form of its id, as people type it.
    #[must_use]
    pub fn short(&self) -> String {
        Id::parse(&self.id).map_or_else(|_| self.id.clone(), |id| id.short().to_owned())
    }

    /// The file's text with the fields of a claim.
    ///
    /// # Errors
    /// `Data` if the front matter cannot be edited line by line.
    pub fn claimed(&self, by: &Address, at: Stamp, hold: &Hold) -> Result<String> {
        let (session, process) = match hold {
            Hold::Manual => (None, None),
            Hold::Session(session) => (Some(session.clone()), None),
            Hold::Process => (None, Some("true".to_owned())),
        };
        self.with([
            ("claimed_by", Some(by.as_str().to_owned())),
            ("claimed_at", Some(timestamp(at))),
            ("session", session),
            ("process", process),
        ])
    }

    /// The file's text with `given_up` increased; the fields of the claim stay.
    ///
    /// # Errors
    /// As [`Task::claimed`].
    pub fn given_up(&self) -> Result<String> {
        self.with([("given_up", Some(self.fields.given_up.saturating_add(1).to_string()))])
    }

    /// The file's text without the fields of a claim and of completion.
    ///
    /// # Errors
    /// As [`Task::claimed`].
    pub fn unclaimed(&self) -> Result<String> {
        self.with(CLAIM.into_iter().chain(["done_by", "done_at"]).map(|key| (key, None)))
    }

    /// The file's text with the fields of completion and the result.
    ///
    /// # Errors
    /// As [`Task::claimed`].
    pub fn finished(&self, by: &Address, at: Stamp, result: &str) -> Result<String> {
        // The fields of the claim stay: after a kill before the move the claim must still hold, and they record where
        // the work was done.
        let mut text = self.with([("done_by", Some(by.as_str().to_owned())), ("done_at", Some(timestamp(at)))])?;
        let result = result.trim();
        // Finishing twice with the same result adds it once.
        if !result.is_empty() && !text.trim_end().ends_with(&format!("## Result\n\n{result}")) {
            let _ = write!(text, "{}\n## Result\n\n{result}\n", if text.ends_with('\n') { "" } else { "\n" });
        }
        Ok(text)
    }

    /// The file's text with these keys set in its front matter (`Some`) or removed (`None`); every other byte stays.
    fn with(&self, keys: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Result<String> {
        let keys: Vec<_> = keys.into_iter().collect();
        let parts = front_matter::split(&self.text)?;
        let is_ours = |line: &str| keys.iter().any(|(key, _)| line.split(':').next() == Some(key));
        let mut yaml: String =
            parts.yaml.unwrap_or_default().split_inclusive('\n').filter(|line| !is_ours(line)).collect();
        for (key, value) in &keys {
            if let Some(value) = value {
                let _ = writeln!(yaml, "{key}: {}", scalar(value));
            }
        }
        let gap = if parts.yaml.is_none() && !yaml.is_empty() { "\n" } else { "" };
        let text = if yaml.is_empty() { parts.body.to_owned() } else { format!("---\n{yaml}---\n{gap}{}", parts.body) };
        Self::read(&self.id, self.state, text.clone()).map_err(|problem| {
            Fault::data(format!("its front matter cannot be edited: {problem}"))
                .hint("write its keys on lines of their own, `key: value`")
        })?;
        Ok(text)
    }

    /// The number of the current announcement: 1, and one more for each abandoned claim. `None` if the task is not
    /// open, or was announced [`ROUNDS`] times.
    #[must_use]
    pub fn round(&self) -> Option<u32> {
        (self.state == TaskState::Open && self.fields.given_up < ROUNDS).then_some(self.fields.given_up + 1)
    }

    /// The id of the event that announces it to `agent`; deterministic for one announcement. `seen` is the timestamp for
    /// a task whose name contains none.
    ///
    /// # Errors
    /// Never in practice: names are made valid as parts of ids.
    pub fn event_id(&self, agent: &str, round: u32, seen: Stamp) -> Result<Id> {
        let tail = format!(".{agent}.w{round:02}");
        let own = match Id::parse(&self.id) {
            Ok(own) => own,
            Err(_) => Id::parse(&format!("{seen}-{}", safe_name(&self.id, 24)))?,
        };
        if own.as_str().len() + tail.len() <= id::MAX {
            return Id::parse(&format!("{own}{tail}"));
        }
        Id::parse(&format!("{}-{}{tail}", own.stamp(), hash32(&self.id, 12)))
    }

    /// The announcement for an agent; `tool` is the name of the task tool. It does not contain the task's text: the agent
    /// gets the current text with its claim.
    #[must_use]
    pub fn prompt(&self, tool: &str) -> String {
        format!(
            "There is a task on the shared list: {}\n\nIts id is {}. Claim it with the tool `{tool}`, do it, and call \
             done with the result. If another agent has claimed it, or it is not for you, leave it.",
            self.title(),
            self.id
        )
    }

    /// The origin of the work on it.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let requesters = self.fields.requesters.as_deref().unwrap_or_default();
        Origin {
            class: self.fields.class,
            taint: self.fields.taint.clone(),
            requesters: requesters.split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// The name of the session in which `agent` works on it.
    #[must_use]
    pub fn session(&self, agent: &str) -> String {
        format!("{agent}.task-{}", safe_name(self.id.trim_end_matches('.'), 50))
    }
}

/// The text of a new task. A text with front matter keeps it, except for the keys that describe its origin; otherwise
/// its first line becomes the title.
///
/// # Errors
/// `Data` if its front matter is invalid.
pub fn compose(id: &str, text: &str, by: &Address, at: Stamp, (hops, origin): (u32, &Origin)) -> Result<String> {
    let parts = front_matter::split(text)?;
    let requesters = Some(origin.requesters.join(" ")).filter(|names| !names.is_empty());
    let mut keys = vec![
        ("created", Some(timestamp(at))),
        ("by", Some(by.as_str().to_owned())),
        ("hops", (hops > 0).then(|| hops.to_string())),
        ("class", origin.class.map(|class| class.name().to_owned())),
        ("taint", origin.taint.clone()),
        ("requesters", requesters),
    ];
    let mut body = text.trim_start_matches('\u{feff}');
    if parts.yaml.is_none() {
        let (first, rest) = text.trim().split_once('\n').unwrap_or((text.trim(), ""));
        keys.insert(0, ("title", Some(first.trim_start_matches('#').trim().to_owned())));
        body = rest.trim();
    }
    let task = Task { id: id.to_owned(), state: TaskState::Open, fields: TaskFields::default(), text: body.to_owned() };
    let text = task.with(keys)?;
    Ok(format!("{}\n", text.trim_end()))
}

/// The id of the task that call `number` of the turn for `event` creates; deterministic, so that a repeated call creates
/// no second task.
#[must_use]
pub fn id_for_call(event: &Id, number: u32) -> String {
    format!("{event}.t{number:02}")
}

/// Whether this is a valid name of a task's file (without `.md`).
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_odd = |c: char| c.is_control() || c == '/';
    !name.trim().is_empty() && name.len() <= MAX_NAME && !name.starts_with('.') && !name.contains(is_odd)
}

fn timestamp(at: Stamp) -> String {
    let seconds = at.timestamp().as_second();
    Timestamp::from_second(seconds).unwrap_or_else(|_| at.timestamp()).to_string()
}

/// A value as a YAML scalar: plain if possible, else quoted.
fn scalar(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+:/@- ,!?".contains(&b);
    let is_word = text.bytes().all(plain) && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let is_text = matches!(serde_yaml::from_str::<serde_yaml::Value>(text), Ok(serde_yaml::Value::String(_)));
    let is_number = text.bytes().all(|b| b.is_ascii_digit()) || text == "true";
    if is_number || is_word && is_text && !text.contains(": ") && !text.ends_with([':', ' ']) {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(state: TaskState, text: &str) -> Task {
        Task::read("milk", state, text.to_owned()).unwrap().0
    }

    fn ann() -> Address {
        Address::parse("cli:ann").unwrap()
    }

    #[test]
    fn any_markdown_file_is_a_task() {
        assert_eq!(task(TaskState::Open, "").title(), "milk");
        assert_eq!(task(TaskState::Open, "\n# Buy milk\n\nTwo of them.\n").title(), "Buy milk");
        assert_eq!(task(TaskState::Open, "---\ntitle: Buy\npriority: high\n---\nx\n").title(), "Buy");
        let (_, warnings) = Task::read("a", TaskState::Open, "---\ntitel: x\nmood: y\n---\n".into()).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(Task::read("a", TaskState::Open, "---\ntitle: x\n".into()).is_err());
    }

    #[test]
    fn name_of_a_file_is_a_task_unless_it_is_hidden_too_long_or_no_name() {
        let long = "x".repeat(MAX_NAME);
        for name in ["milk", "buy milk", "Käse", "a.b", &long] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", " ", ".hidden", ".", "a/b", "a\nb", "\u{7f}", &(long.clone() + "x")] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn claiming_and_releasing_preserve_the_rest_of_the_file() {
        let before = "---\n# mine\ntitle: Buy milk\ntags: [a, b]\n---\nTwo of them.\n";
        let claimed = task(TaskState::Open, before).claimed(&ann(), Stamp(0), &Hold::Session("a.b".into())).unwrap();
        let claimed = task(TaskState::Claimed, &claimed);
        assert_eq!(claimed.fields.claimed_by.as_deref(), Some("cli:ann"));
        assert_eq!(claimed.hold(), Hold::Session("a.b".into()));
        assert!(claimed.text.contains("# mine\ntitle: Buy milk\ntags: [a, b]\nclaimed_by: cli:ann\n"));
        // A second claim replaces the fields of the first.
        let other = task(TaskState::Open, &claimed.claimed(&ann(), Stamp(0), &Hold::Manual).unwrap());
        assert_eq!(other.hold(), Hold::Manual);
        assert_eq!(task(TaskState::Open, &other.unclaimed().unwrap()).text, before);
        let again = task(TaskState::Open, &task(TaskState::Claimed, &claimed.given_up().unwrap()).unclaimed().unwrap());
        assert_eq!((again.fields.given_up, again.round()), (1, Some(2)));
    }

    #[test]
    fn front_matter_is_added_to_a_bare_file_and_removed_again() {
        let claimed = task(TaskState::Open, "Buy milk\n").claimed(&ann(), Stamp(0), &Hold::Process).unwrap();
        assert_eq!(
            claimed,
            "---\nclaimed_by: cli:ann\nclaimed_at: 1970-01-01T00:00:00Z\nprocess: true\n---\n\nBuy milk\n"
        );
        assert_eq!(task(TaskState::Claimed, &claimed).unclaimed().unwrap().trim(), "Buy milk");
        assert!(task(TaskState::Open, "---\n{title: x}\n---\n").claimed(&ann(), Stamp(0), &Hold::Manual).is_err());
    }

    #[test]
    fn finishing_twice_writes_the_result_once() {
        let one = task(TaskState::Claimed, "Buy milk").finished(&ann(), Stamp(0), "Bought.\n").unwrap();
        let two = task(TaskState::Claimed, &one).finished(&ann(), Stamp(0), "Bought.").unwrap();
        assert_eq!(one, two);
        assert!(one.ends_with("Buy milk\n\n## Result\n\nBought.\n"), "{one}");
    }

    #[test]
    fn composed_task_reads_back_with_any_title() {
        for title in ["Buy milk", "a: b", "yes", "12", "# of things", "\"quoted\" 'and' \\", "猫 – cat", "- x", "x #y"]
        {
            let text =
                compose("id", &format!("{title}\n\nMore.\n"), &ann(), Stamp(0), (0, &Origin::default())).unwrap();
            let read = task(TaskState::Open, &text);
            assert_eq!((read.title().as_str(), read.body()), (title.trim_start_matches('#').trim(), "More."), "{text}");
            assert_eq!(read.fields.by.as_deref(), Some("cli:ann"));
        }
        let requesters = vec!["a".to_owned(), "b".to_owned()];
        let origin = Origin { class: Some(SenderClass::Unknown), taint: Some("web:a: b".into()), requesters };
        let text = compose("id", "---\ntitle: x\ntags: [a]\nclass: owner\n---\nbody\n", &ann(), Stamp(0), (2, &origin))
            .unwrap();
        assert!(text.starts_with("---\ntitle: x\ntags: [a]\ncreated: ") && text.contains("hops: 2\n"), "{text}");
        assert_eq!(task(TaskState::Open, &text).origin(), origin);
    }

    #[test]
    fn event_id_of_an_announcement_is_deterministic() {
        let own = |id: &str| Task { id: id.to_owned(), ..task(TaskState::Open, "") };
        let id = |id: &str, agent: &str, round| own(id).event_id(agent, round, Stamp(7)).unwrap().to_string();
        assert_eq!(id("20261121T004130.123456Z-k7f3q9", "bob", 1), "20261121T004130.123456Z-k7f3q9.bob.w01");
        assert_eq!(id("buy milk", "bob", 2), id("buy milk", "bob", 2));
        assert!(id("buy milk", "bob", 2) != id("buy-milk", "bob", 2));
        let long = format!("20261121T004130.123456Z-{}", "x".repeat(60));
        assert!(id(&long, &"a".repeat(32), 1).ends_with(".w01"));
        assert!(own(&"y".repeat(200)).session("bob").len() <= crate::core::event::session_name::MAX);
    }
}
