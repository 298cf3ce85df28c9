//! Completion of slash commands at the end of a line.

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
        let names = ROWS.iter().flat_map(|row| row.names.iter().map(move |name| (row, name)));
        let full = names.map(|(row, name)| format!("/{name}{}", if row.argument_kinds.is_empty() { "" } else { " " }));
        return Some((begin, full.filter(|full| full.starts_with(word)).collect()));
    };
    let kind = table::find(&name[1..].to_ascii_lowercase())?.argument_kinds.get(before.count())?;
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
            Some(ROWS.iter().map(|r| r.names.len()).sum())
        );
    }
}
