//! Session names: `<agent>.<place>`. The agent that owns a session is always its first word, so
//! whoever holds the name knows who answers without reading anything.

use crate::core::address::Address;
use crate::core::fault::{Fault, Result};
use crate::core::id::is_name_byte;

/// The lane of everything that is to be remembered; not a session.
pub const MEMORIES: &str = "memories";
/// The longest session name (and lane) in bytes.
pub const MAX: usize = 90;

/// The session of `agent` for a conversation at `place`: a pure function of both.
#[must_use]
pub fn at(agent: &str, place: &Address) -> String {
    format!("{agent}.{}", place.slug())
}

/// The agent that owns `session`.
#[must_use]
pub fn agent(session: &str) -> &str {
    session.split_once('.').map_or(session, |(agent, _)| agent)
}

/// The full name of what somebody called `name` while talking to `agent`: `work` is `pickle.work`,
/// and `pickle.work` is itself.
///
/// # Errors
/// `Data` where the name is unfit for a folder, or names another agent than `agent`.
pub fn named(name: &str, agent: Option<&str>, default_agent: &str) -> Result<String> {
    let fit = name.bytes().all(is_name_byte) && !name.starts_with('.') && !name.ends_with('.');
    if name.is_empty() || !fit {
        return Err(Fault::data(format!("`{}` is not a session name", name.escape_debug()))
            .hint("use A-Z a-z 0-9 . _ + -, like work or pickle.work"));
    }
    let full = match (name.split_once('.'), agent) {
        (Some((owner, _)), Some(agent)) if owner != agent => {
            return Err(Fault::data(format!("session {name} belongs to agent {owner}, not to {agent}")));
        }
        (Some(_), _) => name.to_owned(),
        (None, agent) => format!("{}.{name}", agent.unwrap_or(default_agent)),
    };
    if full.len() > MAX {
        return Err(Fault::data(format!("session name {full} is longer than {MAX} bytes")));
    }
    check_agent(self::agent(&full))?;
    Ok(full)
}

/// Checks that `id` can be an agent's id: its folder, and the first word of its sessions.
///
/// # Errors
/// `Data`, with the rule.
pub fn check_agent(id: &str) -> Result<()> {
    let fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if id.is_empty() || id.len() > 32 || id.starts_with('-') || !id.bytes().all(fit) {
        return Err(
            Fault::data(format!("`{}` is not an agent id", id.escape_debug())).hint("at most 32 of A-Z a-z 0-9 _ -")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_qualified_once() {
        assert_eq!(named("work", None, "pickle").unwrap(), "pickle.work");
        assert_eq!(named("work", Some("cookie"), "pickle").unwrap(), "cookie.work");
        assert_eq!(named("pickle.work", None, "cookie").unwrap(), "pickle.work");
        assert!(named("pickle.work", Some("cookie"), "pickle").is_err());
    }

    #[test]
    fn names_that_are_no_folders_are_refused() {
        for bad in ["", ".", "..", "../x", "a/b", "a~b", "a\0", "🥒", ".hidden", "a.", "-x.y"] {
            assert!(named(bad, None, "pickle").is_err(), "{bad:?}");
        }
        assert!(named(&"x".repeat(300), None, "pickle").is_err());
    }

    #[test]
    fn the_agent_is_the_first_word() {
        let place = Address::parse("telegram:-100123/7").unwrap();
        let session = at("pickle", &place);
        assert_eq!(agent(&session), "pickle");
        assert!(session.len() <= MAX);
        assert_eq!(at("pickle", &Address::parse("cli:ann").unwrap()), "pickle.cli-ann");
    }
}
