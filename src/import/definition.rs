//! Definitions of other programs as definitions of this one: ids, disabled jobs, agents without keys.

use crate::core::definition::{agent, cron};
use crate::core::event::session_name;
use crate::import::secrets;
use jiff::Timestamp;

/// A valid id made of `text`: letters, digits, `_` and `-`, at most 32.
#[must_use]
pub fn id(text: &str) -> String {
    if session_name::check_agent(text).is_ok() {
        return text.to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let mut id = String::new();
    for c in text.trim().chars().map(plain) {
        if c != '-' || !id.ends_with('-') && !id.is_empty() {
            id.push(c);
        }
    }
    id.truncate(28);
    let id = id.trim_end_matches('-');
    if id.is_empty() { "unnamed".to_owned() } else { id.to_owned() }
}

/// A CRON.md with `enabled: false`; every other byte is unchanged. `None` if it has no front matter.
#[must_use]
pub fn disabled(text: &str) -> Option<String> {
    let start = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = start.split_inclusive('\n').next()?;
    if first.trim_end() != "---" {
        return None;
    }
    let end = if first.ends_with("\r\n") { "\r\n" } else { "\n" };
    let (before, after) = text.split_at(text.len() - start.len() + first.len());
    let mut rest = String::new();
    let mut is_yaml = true;
    for line in after.split_inclusive('\n') {
        is_yaml &= line.trim_end() != "---";
        if !(is_yaml && line.starts_with("enabled:")) {
            rest += line;
        }
    }
    Some(format!("{before}enabled: false{end}{rest}"))
}

/// An AGENT.md without its keys, and the places of these.
#[must_use]
pub fn without_keys(text: &str) -> (String, Vec<String>) {
    let (mut kept, mut found) = (String::new(), Vec::new());
    let mut marks = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        marks += usize::from(line.trim_end() == "---" && (marks > 0 || number == 0));
        let (key, value) = line.split_once(':').unwrap_or_default();
        let value = value.trim().trim_matches(['"', '\'']);
        let is_secret = secrets::is_secret_name(key.trim()) && !value.is_empty() && !value.starts_with("${");
        if marks == 1 && is_secret {
            found.push(format!("line {}, {}", number + 1, key.trim()));
        } else {
            kept += line;
        }
    }
    (kept, found)
}

/// The reason why this workspace cannot use an agent.
#[must_use]
pub fn agent_problem(id: &str, path: &str, text: &str) -> Option<String> {
    match agent::read(id, path, text, None) {
        Err(problem) => Some(format!("it is not valid here: {problem}")),
        Ok((agent, _)) => {
            let provider = agent.llm.provider.filter(|name| !PROVIDERS.contains(&&name[..]));
            provider.map(|name| {
                format!("its llm.provider `{name}` is not one of this program: write {}", PROVIDERS.join(", "))
            })
        }
    }
}

/// The names of the providers that reach a model.
const PROVIDERS: &[&str] = &["openai", "anthropic", "ollama", "command", "replay", "offline"];

/// The reason why this workspace cannot use a job.
#[must_use]
pub fn cron_problem(id: &str, path: &str, text: &str, now: Timestamp) -> Option<String> {
    cron::read(id, path, text, now).err().map(|problem| format!("it is not valid here: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_valid_whatever_the_name() {
        for text in ["Inbox Check!", "猫", "", "--", "a/b", &"x".repeat(90), "-a"] {
            assert_eq!(session_name::check_agent(&id(text)), Ok(()), "{text}");
        }
        assert_eq!((id("pickle"), id("Inbox  Check!")), ("pickle".to_owned(), "Inbox-Check".to_owned()));
    }

    #[test]
    fn job_is_disabled_by_one_line() {
        let text = "---\r\nname: a\r\nenabled: true\r\n---\r\nenabled: true\r\n";
        assert_eq!(disabled(text).unwrap(), "---\r\nenabled: false\r\nname: a\r\n---\r\nenabled: true\r\n");
        assert_eq!(disabled("hello"), None);
        assert_eq!(disabled(""), None);
    }

    #[test]
    fn keys_leave_an_agent() {
        let text = "---\nname: a\nllm:\n  api_key: \"abc\"\n  max_tokens: 5\n---\napi_key: stays\n";
        let (kept, found) = without_keys(text);
        assert_eq!(kept, "---\nname: a\nllm:\n  max_tokens: 5\n---\napi_key: stays\n");
        assert_eq!(found, ["line 4, api_key"]);
        assert_eq!(without_keys("---\nllm:\n  api_key: ${KEY}\n---\n").1, [""; 0]);
    }
}
