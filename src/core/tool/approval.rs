//! The question whether a call may be run: a Markdown file that says exactly what would be run, and by its
//! hash that nobody has changed it.

use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Result};
use crate::core::model::Call;
use crate::core::text::front_matter;
use crate::core::tool;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the owner is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// The event and the call's number within it: `….a02`.
    pub id: Id,
    /// The event.
    pub event: Id,
    /// The call's number.
    pub number: u32,
    /// Where it was called.
    pub session: String,
    /// The tool.
    pub tool: String,
    /// Why the owner is asked.
    pub reason: String,
    /// Who talked to the agent.
    pub from: Address,
    /// Where the answer goes.
    pub reply_to: Address,
    /// After this instant it is too late.
    pub expires_at: Timestamp,
    /// BLAKE3 of id, tool and arguments.
    pub hash: String,
    /// What it would be run with; in the file, the block of JSON.
    #[serde(skip)]
    pub arguments: Value,
}

/// The hash of a call: of the approval's id, the tool and its arguments as JSON, a line each.
#[must_use]
pub fn hash(id: &Id, call: &Call) -> String {
    blake3::hash(format!("{id}\n{}\n{}\n", call.name, call.arguments).as_bytes()).to_hex().to_string()
}

impl Approval {
    /// The call in a few words, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{}: {}", self.tool, tool::describe_call(&self.tool, &self.arguments))
    }

    /// The file.
    ///
    /// # Errors
    /// `Data` where it cannot be written as YAML, which none is.
    pub fn to_markdown(&self) -> Result<String> {
        let head = serde_yaml::to_string(self).map_err(|e| Fault::data(e.to_string()))?;
        let arguments = serde_json::to_string_pretty(&self.arguments).map_err(|e| Fault::data(e.to_string()))?;
        let short = self.id.short();
        Ok(format!(
            "---\n{head}---\n# {} asks to run `{}`: {}\n\n```json\n{arguments}\n```\n\n\
             Exactly this is run, once, when this file is moved to `approved/` (`claw approve {short}`), and never when \
             it is moved to `denied/` (`claw deny {short}`). A later message in the conversation withdraws it.\n",
            crate::core::event::session_name::agent(&self.session),
            self.tool,
            self.reason,
        ))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// `Data` where it is none, or where the call in it is not the one of its hash.
    pub fn parse(text: &str) -> Result<Self> {
        let parts = front_matter::split(text)?;
        let yaml = parts.yaml.ok_or_else(|| Fault::data("it has no front matter"))?;
        let mut read: Self = serde_yaml::from_str(yaml).map_err(|e| Fault::data(format!("front matter: {e}")))?;
        let block = parts.body.split_once("```json\n").and_then(|(_, rest)| rest.rsplit_once("\n```"));
        let (json, _) = block.ok_or_else(|| Fault::data("it has no block of JSON"))?;
        read.arguments = serde_json::from_str(json).map_err(|e| Fault::data(format!("its block of JSON: {e}")))?;
        let call = Call { id: String::new(), name: read.tool.clone(), arguments: read.arguments.clone() };
        if hash(&read.id, &call) != read.hash {
            return Err(Fault::data("the call in it is not the one that was asked about: its hash differs"));
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
        Approval {
            event: id.clone(),
            number: 1,
            session: "pickle.cli-ann".into(),
            tool: call.name.clone(),
            reason: "it matches `git push`".into(),
            from: Address::parse("cli:ann").unwrap(),
            reply_to: Address::parse("cli:ann").unwrap(),
            expires_at: Timestamp::UNIX_EPOCH,
            hash: hash(&id, &call),
            arguments: call.arguments,
            id,
        }
    }

    #[test]
    fn the_file_reads_back_as_it_was_written() {
        let approval = approval();
        assert_eq!(Approval::parse(&approval.to_markdown().unwrap()), Ok(approval));
    }

    #[test]
    fn what_was_changed_is_refused() {
        let text = approval().to_markdown().unwrap();
        for (from, to) in [("git push\\n", "git push -f\\n"), ("tool: bash", "tool: write"), ("```json", "```")] {
            assert!(text.contains(from), "{text}");
            assert!(Approval::parse(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
    }
}
