//! Tools as values: whether a call may be repeated, the calls that need approval, and the size limits of results.

pub mod approval;
pub mod grants;
pub mod normal;
pub mod words;

use crate::core::fault::{Fault, Result};
use regex::Regex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest result that is sent to a model, in bytes; a longer one is saved to a file.
pub const MAX_RESULT: usize = 16 << 10;
/// The longest page, in bytes, of a tool that returns its result in pages: below [`MAX_RESULT`], with room for the
/// tool's notes.
pub const MAX_PAGE: usize = 14 << 10;
/// The built-in tool that runs a shell command.
pub const BASH: &str = "bash";
/// The built-in tool that gives a task to another agent.
pub const DISPATCH: &str = "subagent_dispatch";

/// The handling of a call that was begun and has no result, because its worker was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Reads only: run again, and in parallel with other calls.
    Reads,
    /// Idempotent: run again.
    Repeats,
    /// Has side effects: never run again; the model gets a note that the outcome is unknown.
    Acts,
}

/// Whether a call needs the owner's approval.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "`approve` is true, false, `when-tainted` or a list of regular expressions")]
pub enum Approve {
    /// Every call, or none.
    Always(bool),
    /// Every call of a turn that contains text from outside.
    When(ApproveWhen),
    /// Calls whose [`describe_call`] text matches one of these regular expressions. They are reminders, not a barrier:
    /// one action has many spellings, and `rm -fr` passes `rm -r`.
    Where(Vec<String>),
}

/// A condition on the turn of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApproveWhen {
    /// The turn contains text from outside.
    WhenTainted,
}

impl Default for Approve {
    fn default() -> Self {
        Self::Always(false)
    }
}

impl Approve {
    /// The reason why this call needs approval; `None` where it does not. An invalid pattern matches every call.
    /// `taint` is the source of text from outside in the turn, if there is any.
    #[must_use]
    pub fn reason(&self, tool: &str, arguments: &Value, taint: Option<&str>) -> Option<String> {
        let text = describe_call(tool, arguments);
        match self {
            Self::Always(true) => Some("every call of this tool needs approval".to_owned()),
            Self::Always(false) => None,
            Self::When(ApproveWhen::WhenTainted) => {
                taint.map(|source| format!("the conversation contains text from {source}"))
            }
            Self::Where(patterns) => patterns
                .iter()
                .find(|pattern| Regex::new(pattern).map_or(true, |regex| regex.is_match(&text)))
                .map(|pattern| format!("it matches `{pattern}`")),
        }
    }
}

/// The text of a call that is shown to the owner and matched against the approval patterns: the command of the shell
/// tool, and all arguments as JSON of every other tool, because any of them may matter.
#[must_use]
pub fn describe_call(tool: &str, arguments: &Value) -> String {
    let command = arguments.get("command").filter(|_| tool == BASH).and_then(Value::as_str);
    command.map_or_else(|| arguments.to_string(), str::to_owned)
}

/// Parses a tool's arguments.
///
/// # Errors
/// `Data`, with a message for the model.
pub fn arguments<T: DeserializeOwned>(value: &Value) -> Result<T> {
    if let Value::String(text) = value {
        let why = match serde_json::from_str::<Value>(text) {
            Err(e) if e.is_eof() => format!("{e}: they are incomplete, probably because the answer was too long"),
            Err(e) => e.to_string(),
            Ok(_) => "not an object".to_owned(),
        };
        return Err(Fault::data(format!("the arguments are not a JSON object ({why}); the tool was not run")));
    }
    T::deserialize(value).map_err(|e| Fault::data(format!("invalid arguments ({e}); the tool was not run")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn approve(yaml: &str) -> Approve {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn approval_patterns_match_the_command() {
        let approve = approve("['^git push', 'rm -rf']");
        let needs_approval = |command: &str| approve.reason("bash", &json!({"command": command}), None).is_some();
        assert!(needs_approval("git push origin") && needs_approval("cd x; rm -rf ."));
        assert!(!needs_approval("ls; git push"));
        let bad = Approve::Where(vec!["(".into()]).reason("bash", &json!({"command": "ls"}), None);
        assert!(bad.is_some(), "an invalid pattern needs approval");
    }

    #[test]
    fn tainted_turn_needs_approval_where_the_setting_says_so() {
        let approve = approve("when-tainted");
        let reason = |taint| approve.reason("bash", &json!({"command": "ls"}), taint);
        assert_eq!(reason(None), None);
        assert_eq!(reason(Some("web:a.org")).unwrap(), "the conversation contains text from web:a.org");
        assert!(serde_yaml::from_str::<Approve>("when-wet").unwrap_err().to_string().contains("`when-tainted`"));
    }

    #[test]
    fn approval_patterns_match_all_arguments_of_other_tools() {
        let approve = approve("[delete]");
        assert!(approve.reason("disk", &json!({"action": "delete", "command": "x"}), None).is_some());
        assert!(approve.reason("disk", &json!({"command": "delete"}), None).is_some());
        assert!(approve.reason("disk", &json!({"action": "list", "command": "x"}), None).is_none());
        assert_eq!(
            describe_call("disk", &json!({"action": "delete", "command": "x"})),
            r#"{"action":"delete","command":"x"}"#
        );
        assert_eq!(describe_call("bash", &json!({"command": "ls", "timeout": 1})), "ls");
    }

    #[test]
    fn invalid_arguments_are_explained() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Args {
            #[serde(rename = "path")]
            _path: String,
        }
        let message = |value: Value| arguments::<Args>(&value).unwrap_err().message;
        for cut in ["{\"path\": ", ""] {
            let text = message(json!(cut));
            assert!(text.contains("not a JSON object (EOF") && text.contains("too long"), "{text}");
        }
        assert!(!message(json!("{a}")).contains("too long"));
        assert!(message(json!({"path": 1})).contains("expected a string"));
        assert!(message(json!({})).contains("missing field `path`"));
        assert!(message(json!({"path": "a", "paht": "b"})).contains("unknown field `paht`"));
    }
}
