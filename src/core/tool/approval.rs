//! Approval requests: a Markdown file with the exact tool call, and a hash that proves that the call was not changed.

use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Result};
use crate::core::model::Call;
use crate::core::text::front_matter;
use crate::core::tool;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// BLAKE3 of id, tool and arguments.
    pub hash: String,
    /// The arguments; in the file they are the block of JSON.
    #[serde(skip)]
    pub arguments: Value,
}

/// The BLAKE3 hash of three lines: the approval's id, the tool, and its arguments as JSON.
#[must_use]
pub fn hash(id: &Id, call: &Call) -> String {
    blake3::hash(format!("{id}\n{}\n{}\n", call.name, call.arguments).as_bytes()).to_hex().to_string()
}

impl Approval {
    /// The tool and its call, as one line for users.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{}: {}", self.tool, tool::describe_call(&self.tool, &self.arguments))
    }

    /// The content of the file.
    ///
    /// # Errors
    /// `Data` where serialisation fails, which does not happen for values of this type.
    pub fn to_markdown(&self) -> Result<String> {
        let head = serde_yaml::to_string(self).map_err(|e| Fault::data(e.to_string()))?;
        let arguments = serde_json::to_string_pretty(&self.arguments).map_err(|e| Fault::data(e.to_string()))?;
        let short = self.id.short();
        Ok(format!(
            "---\n{head}---\n# {} asks to run `{}`: {}\n\n```json\n{arguments}\n```\n\n\
             To run exactly this call once, move this file to `approved/` (`claw approve {short}`). To refuse it, move \
             it to `denied/` (`claw deny {short}`). A later message in the conversation withdraws the request.\n",
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
        if hash(&read.id, &call) != read.hash {
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
    fn file_parses_back() {
        let approval = approval();
        assert_eq!(Approval::parse(&approval.to_markdown().unwrap()), Ok(approval));
    }

    #[test]
    fn changed_file_is_refused() {
        let text = approval().to_markdown().unwrap();
        for (from, to) in [("git push\\n", "git push -f\\n"), ("tool: bash", "tool: write"), ("```json", "```")] {
            assert!(text.contains(from), "{text}");
            assert!(Approval::parse(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
    }
}
