//! Approval requests: a Markdown file with the exact tool call, and a hash that proves that the call was not changed.

use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Result};
use crate::core::model::Call;
use crate::core::text::{front_matter, visible};
use crate::core::tool::{self, words};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// A request for the owner's approval of a tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// The id derived from the event and the call's number: `….a02`.
    pub id: Id,
    /// The event of the turn.
    pub event: Id,
    /// The call's number within the turn.
    pub number: u32,
    /// The session of the turn.
    pub session: String,
    /// The tool.
    pub tool: String,
    /// The reason why approval is needed.
    pub reason: String,
    /// The sender of the event.
    pub from: Address,
    /// The destination of the answer.
    pub reply_to: Address,
    /// The instant at which the request expires.
    pub expires_at: Timestamp,
    /// The files that the call names and that agents may write, with their content at the time of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ApprovedFile>,
    /// BLAKE3 of id, tool, arguments and files.
    pub hash: String,
    /// The arguments; in the file they are the block of JSON.
    #[serde(skip)]
    pub arguments: Value,
}

/// A file that is approved together with a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ApprovedFile {
    /// Relative to the workspace, or absolute if it is outside.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// BLAKE3 of its content.
    pub hash: String,
}

impl fmt::Display for ApprovedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = self.hash.get(..16).unwrap_or(&self.hash);
        write!(f, "{} ({} bytes, blake3 {hash})", visible::exact(&self.path), self.size)
    }
}

/// The BLAKE3 hash of three lines: the approval's id, the tool, and its arguments as JSON; and of a line of JSON for each
/// file.
#[must_use]
pub fn hash(id: &Id, call: &Call, files: &[ApprovedFile]) -> String {
    let lines = files.iter().map(|file| json!([file.path, file.size, file.hash]).to_string() + "\n");
    let text = format!("{id}\n{}\n{}\n", call.name, call.arguments) + &lines.collect::<String>();
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// The difference between the files that were approved and the same call's files now: the approval is void.
#[must_use]
pub fn difference(approved: &[ApprovedFile], now: &[ApprovedFile]) -> Option<String> {
    let find = |files: &[ApprovedFile], path: &str| files.iter().find(|file| file.path == path).cloned();
    let changed = approved.iter().find_map(|file| match find(now, &file.path) {
        Some(other) if other == *file => None,
        Some(_) => Some(format!("{} was changed", visible::exact(&file.path))),
        None => Some(format!("{} was removed", visible::exact(&file.path))),
    });
    let is_new = |file: &&ApprovedFile| find(approved, &file.path).is_none();
    changed.or_else(|| now.iter().find(is_new).map(|file| format!("{} is new", visible::exact(&file.path))))
}

impl Approval {
    /// The tool and its call, as one line for users.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{}: {}", self.tool, tool::describe_call(&self.tool, &self.arguments))
    }

    /// The call as its owner must see it before a decision: [`Approval::summary`] with everything that could deceive
    /// shown, and a line for each file.
    #[must_use]
    pub fn exact_lines(&self) -> Vec<String> {
        let mut lines = vec![visible::exact(&self.summary())];
        lines.extend(self.files.iter().map(|file| format!("with {file}")));
        let command = self.arguments.get("command").filter(|_| self.tool == tool::BASH).and_then(Value::as_str);
        if command.is_some_and(words::is_expanded) {
            lines.push("the shell replaces parts of it; files that only they name are not checked".to_owned());
        }
        lines
    }

    /// The text with which a turn ends that asks for this approval.
    #[must_use]
    pub fn request(&self) -> String {
        let (short, lines) = (self.id.short(), self.exact_lines().join("\n    "));
        format!(
            "I need your approval before I run this ({}):\n\n    {lines}\n\nclaw approve {short}\nclaw deny {short}",
            self.reason
        )
    }

    /// The content of the file.
    ///
    /// # Errors
    /// `Data` where serialisation fails, which does not happen for values of this type.
    pub fn to_markdown(&self) -> Result<String> {
        let head = serde_yaml::to_string(self).map_err(|e| Fault::data(e.to_string()))?;
        let arguments = serde_json::to_string_pretty(&self.arguments).map_err(|e| Fault::data(e.to_string()))?;
        let arguments = visible::exact_json(&arguments);
        let files: String = self.files.iter().map(|file| format!("- with {file}\n")).collect();
        let files = if files.is_empty() { files } else { files + "\n" };
        let short = self.id.short();
        Ok(format!(
            "---\n{head}---\n# {} asks to run `{}`: {}\n\n```json\n{arguments}\n```\n\n\
             {files}To run exactly this call once, move this file to `approved/` (`claw approve {short}`). To refuse it, move \
             it to `denied/` (`claw deny {short}`). A later message in the conversation withdraws the request, and a \
             change of a file above voids it.\n",
            crate::core::event::session_name::agent(&self.session),
            self.tool,
            self.reason,
        ))
    }

    /// Parses the file.
    ///
    /// # Errors
    /// `Data` where it is malformed, or where its call does not match its hash.
    pub fn parse(text: &str) -> Result<Self> {
        let parts = front_matter::split(text)?;
        let yaml = parts.yaml.ok_or_else(|| Fault::data("the file has no front matter"))?;
        let mut read: Self = serde_yaml::from_str(yaml).map_err(|e| Fault::data(format!("front matter: {e}")))?;
        let block = parts.body.split_once("```json\n").and_then(|(_, rest)| rest.rsplit_once("\n```"));
        let (json, _) = block.ok_or_else(|| Fault::data("the file has no block of JSON"))?;
        read.arguments = serde_json::from_str(json).map_err(|e| Fault::data(format!("block of JSON: {e}")))?;
        let call = Call { id: String::new(), name: read.tool.clone(), arguments: read.arguments.clone() };
        if hash(&read.id, &call, &read.files) != read.hash {
            return Err(Fault::data("the call in the file was changed: its hash differs"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::stamp::Stamp;
    use serde_json::json;

    fn approval() -> Approval {
        let id = Id::new(Stamp(0), 7);
        let call = Call { id: String::new(), name: "bash".into(), arguments: json!({"command": "git push\n```\nx"}) };
        let files = vec![ApprovedFile { path: "files/x".into(), size: 3, hash: "ab".repeat(32) }];
        Approval {
            event: id.clone(),
            number: 1,
            session: "pickle.cli-ann".into(),
            tool: call.name.clone(),
            reason: "it matches `git push`".into(),
            from: Address::parse("cli:ann").unwrap(),
            reply_to: Address::parse("cli:ann").unwrap(),
            expires_at: Timestamp::UNIX_EPOCH,
            hash: hash(&id, &call, &files),
            files,
            arguments: call.arguments,
            id,
        }
    }

    #[test]
    fn file_parses_back() {
        let approval = approval();
        assert_eq!(Approval::parse(&approval.to_markdown().unwrap()), Ok(approval));
    }

    #[test]
    fn changed_file_is_refused() {
        let text = approval().to_markdown().unwrap();
        for (from, to) in [
            ("git push\\n", "git push -f\\n"),
            ("tool: bash", "tool: write"),
            ("```json", "```"),
            ("path: files/x", "path: files/y"),
            ("size: 3", "size: 4"),
            ("  hash: abab", "  hash: abac"),
        ] {
            assert!(text.contains(from), "{text}");
            assert!(Approval::parse(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
    }

    /// The hash of earlier versions, so that their pending approvals can still be decided.
    #[test]
    fn approval_without_files_has_the_hash_of_three_lines() {
        let id = Id::new(Stamp(0), 7);
        let call = Call { id: String::new(), name: "act".into(), arguments: json!({"line": 1}) };
        let expected = blake3::hash(format!("{id}\nact\n{{\"line\":1}}\n").as_bytes()).to_hex().to_string();
        assert_eq!(hash(&id, &call, &[]), expected);
    }

    #[test]
    fn any_change_of_a_file_is_a_difference() {
        let file = |path: &str, hash: &str| ApprovedFile { path: path.into(), size: 1, hash: hash.into() };
        let approved = [file("a", "1"), file("b", "2")];
        assert_eq!(difference(&approved, &approved), None);
        for (now, expected) in [
            (vec![file("a", "1"), file("b", "3")], "b was changed"),
            (vec![file("b", "2")], "a was removed"),
            (vec![file("a", "1"), file("b", "2"), file("j\u{43e}b", "3")], "j\\u{43e}b is new"),
        ] {
            assert_eq!(difference(&approved, &now).as_deref(), Some(expected));
        }
    }

    #[test]
    fn owner_sees_the_call_its_files_and_what_is_not_checked() {
        let sly = json!({"command": "sh files/x; sh files/*\u{202e}.sh"});
        let approval = Approval { arguments: sly, ..approval() };
        assert_eq!(
            approval.exact_lines(),
            [
                "bash: sh files/x; sh files/*\\u{202e}.sh",
                "with files/x (3 bytes, blake3 abababababababab)",
                "the shell replaces parts of it; files that only they name are not checked",
            ]
        );
    }
}
