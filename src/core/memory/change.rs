//! A change of memory files: its author, its commit message, and the form in which `git fast-import` reads a commit.

use crate::core::event::id::Id;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Begins the line of a commit message with the id of the event.
pub const EVENT: &str = "Claw-Event";
/// Begins the line that names another author than the file tools: `shell`.
pub const BY: &str = "Claw-By";
/// The value of [`BY`] for changes that an agent's program made.
pub const SHELL: &str = "shell";
/// Begins the line that names an event that was undone.
pub const UNDO: &str = "Claw-Undo";
/// The longest subject of a commit, in characters.
const MAX_SUBJECT: usize = 60;

/// The author of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeAuthor {
    /// The event that made the change.
    pub event: Id,
    /// The agent; `None` for the owner at a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The source of the text: an address, or the source of text from outside.
    pub origin: String,
    /// A program of the agent made the change.
    #[serde(default)]
    pub by_shell: bool,
    /// The event that the change undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
}

/// The blobs of one file before and after a change, as git's object ids; `None` where there is no file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Before the change.
    pub before: Option<String>,
    /// After it.
    pub after: Option<String>,
    /// Whether the file is executable.
    #[serde(default)]
    pub is_executable: bool,
}

/// A change that waits for its commit: a line of `.claw/memory/pending.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingChange {
    /// Its author.
    pub author: ChangeAuthor,
    /// When it was made.
    pub at: Timestamp,
    /// The first line of its commit message.
    pub subject: String,
    /// The files, relative to the workspace.
    pub files: BTreeMap<String, FileChange>,
    /// The commit of the owner's that already contains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contained_in: Option<String>,
}

/// Name and address of a person or an agent in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
}

impl Signature {
    /// The signature of claw.
    #[must_use]
    pub fn claw() -> Self {
        Self { name: "claw".to_owned(), email: "claw@localhost".to_owned() }
    }

    /// The signature of an agent.
    #[must_use]
    pub fn agent(id: &str) -> Self {
        Self { name: id.to_owned(), email: format!("{id}@claw.localhost") }
    }

    fn line(&self, role: &str, at: Timestamp) -> String {
        let plain = |text: &str| -> String { text.chars().filter(|c| !c.is_control() && !"<>".contains(*c)).collect() };
        let seconds = at.as_second().max(0);
        format!("{role} {} <{}> {seconds} +0000\n", plain(&self.name), plain(&self.email))
    }
}

impl ChangeAuthor {
    /// The commit message: the subject and the trailers.
    #[must_use]
    pub fn message(&self, text: &str) -> String {
        let or_dash = |value: &Option<String>| value.as_deref().map_or("-".to_owned(), one_line);
        let mut message = format!(
            "{}\n\n{EVENT}: {}\nClaw-Agent: {}\nClaw-Session: {}\nClaw-Origin: {}\n",
            subject(text),
            self.event,
            or_dash(&self.agent),
            or_dash(&self.session),
            one_line(&self.origin)
        );
        if self.by_shell {
            message += &format!("{BY}: {SHELL}\n");
        }
        if let Some(event) = &self.undoes {
            message += &format!("{UNDO}: {}\n", one_line(event));
        }
        message
    }

    /// The signature of the commit's author.
    #[must_use]
    pub fn signature(&self) -> Signature {
        self.agent.as_deref().map_or_else(Signature::claw, Signature::agent)
    }
}

fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// The subject of a commit: the first 60 characters as one line, without control characters.
#[must_use]
pub fn subject(text: &str) -> String {
    let line: String = one_line(text).chars().take(MAX_SUBJECT).collect();
    if line.is_empty() { "change".to_owned() } else { line }
}

/// A commit to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommit {
    /// Its author.
    pub author: Signature,
    /// When the change was made.
    pub at: Timestamp,
    /// The whole message.
    pub message: String,
    /// Mode and blob of each file; `None`: it is removed.
    pub files: BTreeMap<String, Option<(&'static str, String)>>,
}

/// The mode of a file in a tree.
#[must_use]
pub fn mode(is_executable: bool) -> &'static str {
    if is_executable { "100755" } else { "100644" }
}

/// The input of `git fast-import --done` that puts these commits, the first one first, onto `parent` (`None`: there is
/// no commit yet) at the branch that is checked out. It prints the id of the last one.
#[must_use]
pub fn stream(commits: &[NewCommit], parent: Option<&str>, committed_at: Timestamp) -> Vec<u8> {
    let mut text = String::new();
    for (number, commit) in (1..).zip(commits) {
        text += &format!("commit HEAD\nmark :{number}\n");
        text += &commit.author.line("author", commit.at);
        text += &Signature::claw().line("committer", committed_at);
        text += &format!("data {}\n{}", commit.message.len(), commit.message);
        // Later commits follow the one before them.
        if let Some(parent) = parent.filter(|_| number == 1) {
            text += &format!("from {parent}\n");
        }
        for (path, file) in &commit.files {
            match file {
                Some((mode, blob)) => text += &format!("M {mode} {blob} {}\n", quoted(path)),
                None => text += &format!("D {}\n", quoted(path)),
            }
        }
        text.push('\n');
    }
    text += &format!("get-mark :{}\ndone\n", commits.len());
    text.into_bytes()
}

/// A path in git's C style.
fn quoted(path: &str) -> String {
    let mut text = String::from("\"");
    for byte in path.bytes() {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            0x20..0x7f => text.push(char::from(byte)),
            other => text += &format!("\\{other:03o}"),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::stamp::Stamp;

    #[test]
    fn message_has_one_line_for_each_trailer_and_no_text_can_add_one() {
        let author = ChangeAuthor {
            event: Id::new(Stamp(0), 7),
            agent: Some("pickle".into()),
            session: None,
            origin: "web:a\nClaw-Event: x".into(),
            by_shell: true,
            undoes: None,
        };
        let (id, text) = (author.event.clone(), author.message("remember: a\n\nClaw-Agent: evil"));
        let expected = format!(
            "remember: a Claw-Agent: evil\n\nClaw-Event: {id}\nClaw-Agent: pickle\nClaw-Session: -\n\
             Claw-Origin: web:a Claw-Event: x\nClaw-By: shell\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn subject_is_one_short_line() {
        assert_eq!(subject("a\0b \n\u{1b}[2K  ä"), "a b [2K ä");
        assert_eq!(subject(&"x".repeat(99)).len(), 60);
        assert_eq!(subject("\n"), "change");
    }

    #[test]
    fn commits_follow_each_other_and_paths_are_quoted() {
        let at = Timestamp::UNIX_EPOCH;
        let commit = |files| NewCommit { author: Signature::agent("a<b"), at, message: "m\n".into(), files };
        let files = BTreeMap::from([("memories/ü \"x\n".to_owned(), Some(("100644", "aa".to_owned())))]);
        let commits = [commit(files), commit(BTreeMap::from([("memories/b".to_owned(), None)]))];
        let text = String::from_utf8(stream(&commits, Some("cc"), at)).unwrap();
        let who = "author ab <ab@claw.localhost> 0 +0000\ncommitter claw <claw@localhost> 0 +0000\ndata 2\nm\n";
        let expected = format!(
            "commit HEAD\nmark :1\n{who}from cc\nM 100644 aa \"memories/\\303\\274 \\\"x\\012\"\n\n\
             commit HEAD\nmark :2\n{who}D \"memories/b\"\n\nget-mark :2\ndone\n"
        );
        assert_eq!(text, expected);
    }
}
