//! Files that a message names after `@`: `@notes.txt`, `@~/a.png`, `@"with spaces.txt"`. They are attached to it. Only
//! lines that are typed at a terminal have them: a text that is piped in may come from another person.

use std::path::{Path, PathBuf};

/// The most names that are offered.
const MOST: usize = 200;

/// The names after `@` in a text, unquoted, in order.
fn names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if c == '@' && (before.is_whitespace() || before == '(') {
            let rest = &text[at + 1..];
            let name = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next(),
                None => rest.split(char::is_whitespace).next(),
            };
            names.extend(name.filter(|name| !name.is_empty()));
        }
        before = c;
    }
    names
}

/// The files that a text names. A name without a file is only text; so is the punctuation behind a name.
pub(crate) fn files(text: &str, home: Option<&str>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for name in names(text) {
        let shorter = name.trim_end_matches(['.', ',', ';', ':', '!', '?', ')']);
        let path = [name, shorter].into_iter().map(|name| expanded(name, home)).find(|path| path.is_file());
        found.extend(path.filter(|path| !found.contains(path)));
    }
    found
}

fn expanded(name: &str, home: Option<&str>) -> PathBuf {
    match (name.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => PathBuf::from(name),
    }
}

/// The completions of the name after `@` at the end of `line`, and the start of that word in bytes.
pub(crate) fn complete(line: &str, home: Option<&str>) -> Option<(usize, Vec<String>)> {
    let begin =
        line.rfind(char::is_whitespace).map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
    let typed = line[begin..].strip_prefix('@')?;
    let (folder, start) = typed.rsplit_once('/').map_or(("", typed), |(folder, start)| (folder, start));
    let prefix = if typed.contains('/') { format!("{folder}/") } else { String::new() };
    let dir = if prefix.is_empty() { PathBuf::from(".") } else { expanded(&prefix, home) };
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_hidden = name.starts_with('.') && !start.starts_with('.');
        if !name.starts_with(start) || is_hidden || name.chars().any(char::is_control) {
            continue;
        }
        let end = if entry.path().is_dir() { "/" } else { "" };
        let quote = if name.contains(char::is_whitespace) && end.is_empty() { "\"" } else { "" };
        names.push(format!("@{quote}{prefix}{name}{quote}{end}"));
    }
    names.sort_unstable();
    names.truncate(MOST);
    Some((begin, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_after_an_at_that_begins_a_word() {
        assert_eq!(names("see @a.txt and (@b) @\"c d\", not ann@x.org @ @"), ["a.txt", "b)", "c d"]);
    }

    #[test]
    fn existing_files_are_found_and_completed() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap();
        for name in ["a.txt", "b c.txt", ".hidden"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let text = format!("look: @~/a.txt, @{home}/a.txt. @\"{home}/b c.txt\" @~/none @~/sub");
        assert_eq!(files(&text, Some(home)), [dir.path().join("a.txt"), dir.path().join("b c.txt")]);
        let complete = |line: &str| complete(line, Some(home)).unwrap();
        assert_eq!(complete("x @~/"), (2, vec!["@\"~/b c.txt\"".into(), "@~/a.txt".into(), "@~/sub/".into()]));
        assert_eq!(complete("@~/.h"), (0, vec!["@~/.hidden".into()]));
        assert_eq!(super::complete("x a", None), None);
    }
}
