//! Completion of slash commands at the end of a line of the chat.

use crate::core::slash::chat_command::CHAT_ROWS;
use crate::core::slash::table::{self, ArgumentKind, ROWS};

/// The start of the last word of `line`, in bytes, and its possible completions; `None` where the line is not a command
/// or takes no more arguments. `ids` lists the ids of a kind.
#[must_use]
pub fn complete(line: &str, ids: &dyn Fn(ArgumentKind) -> Vec<String>) -> Option<(usize, Vec<String>)> {
    line.trim_start().strip_prefix('/')?;
    let begin =
        line.rfind(char::is_whitespace).map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
    let mut before = line[..begin].split_whitespace();
    let word = &line[begin..];
    let Some(name) = before.next() else {
        let own = |name: &str| CHAT_ROWS.iter().find(|row| row.name == name).map(|row| row.argument_kinds);
        let every = ROWS.iter().flat_map(|row| row.names.iter().map(|name| (*name, row.argument_kinds)));
        let every = every.map(|(name, kinds)| (name, own(name).unwrap_or(kinds)));
        let chat = CHAT_ROWS.iter().filter(|row| table::find(row.name).is_none());
        let names = every.chain(chat.map(|row| (row.name, row.argument_kinds)));
        let full = names.map(|(name, kinds)| format!("/{name}{}", if kinds.is_empty() { "" } else { " " }));
        return Some((begin, full.filter(|full| full.starts_with(word)).collect()));
    };
    let name = name[1..].to_ascii_lowercase();
    let own = CHAT_ROWS.iter().find(|row| row.name == name).map(|row| row.argument_kinds);
    let kinds = match own {
        Some(kinds) => kinds,
        None => table::find(&name)?.argument_kinds,
    };
    let kind = kinds.get(before.count())?;
    Some((begin, ids(*kind).into_iter().filter(|id| id.starts_with(word)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_command_is_completed() {
        let ids = |kind| match kind {
            ArgumentKind::Agent => vec!["pickle".to_owned(), "cookie".to_owned()],
            ArgumentKind::Skill => vec!["news".to_owned()],
            ArgumentKind::Session => vec!["work".to_owned()],
            _ => vec![],
        };
        let complete =
            |line: &str| complete(line, &ids).map(|(at, words)| format!("{}|{}", &line[..at], words.join(",")));
        for (line, expected) in [
            ("/st", Some("|/stop")),
            ("  /sk", Some("  |/skills ")),
            ("/agent", Some("|/agent ,/agents")),
            ("/x", Some("|")),
            ("/agent ", Some("/agent |pickle,cookie")),
            ("/AGENT  co", Some("/AGENT  |cookie")),
            ("/route cli:x\u{3000}p", Some("/route cli:x\u{3000}|pickle")),
            ("/route cli:", Some("/route |")),
            ("/skills n", Some("/skills |news")),
            ("/ses", Some("|/session ")),
            ("/session w", Some("/session |work")),
            ("/re", Some("|/retry")),
            ("/agent pickle ", None),
            ("/stop ", None),
            ("/unknown x", None),
            ("say /st", None),
            ("", None),
        ] {
            assert_eq!(complete(line).as_deref(), expected, "{line:?}");
        }
        assert_eq!(
            super::complete("/", &ids).map(|(_, all)| all.len()),
            // `session` is in both tables.
            Some(ROWS.iter().map(|r| r.names.len()).sum::<usize>() + CHAT_ROWS.len() - 1)
        );
    }
}
