//! Replaces a piece of a text. The piece must occur exactly once, unless all occurrences are to be replaced. The error
//! for a piece that was not found names the likely reason, because the model that asked cannot see the file.

use crate::core::fault::{Fault, Result};

/// The most line numbers in the error for an ambiguous match.
const MAX_LINES: usize = 20;
/// The most lines that are searched for a similar one.
const MAX_SEARCHED: usize = 20_000;
/// The longest part of a line in an error, in bytes.
const MAX_LINE: usize = 200;

/// The result of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The whole new text.
    pub text: String,
    /// The lines of the replaced pieces, numbered from 1 in the old text.
    pub lines: Vec<usize>,
}

/// Replaces `old` by `new`, once or, with `all`, everywhere.
///
/// # Errors
/// `Data`, with a message for the model: `old` is empty, equal to `new`, not found, or found more than once.
pub fn replace(text: &str, old: &str, new: &str, all: bool) -> Result<Edited> {
    if has_crlf_throughout(text) {
        let [old, new] = [old, new].map(|piece| piece.replace("\r\n", "\n").replace('\n', "\r\n"));
        return replace_exactly(text, &old, &new, all);
    }
    replace_exactly(text, old, new, all)
}

/// Whether every line of the text ends with a carriage return and a line feed. The pieces of an edit are then written
/// with these line ends too: models write line feeds.
fn has_crlf_throughout(text: &str) -> bool {
    let feeds = text.matches('\n').count();
    feeds > 0 && feeds == text.matches("\r\n").count()
}

fn replace_exactly(text: &str, old: &str, new: &str, all: bool) -> Result<Edited> {
    if old.is_empty() {
        return Err(Fault::data("old is empty").hint("use `write` to write a whole file"));
    }
    if old == new {
        return Err(Fault::data("old and new are the same; nothing was changed"));
    }
    let found = if all { text.match_indices(old).map(|(at, _)| at).collect() } else { overlapping(text, old) };
    let lines = line_numbers(text, &found);
    match found[..] {
        [] => Err(Fault::data(format!("old is not in the file; {}", explain_missing(text, old)))),
        [_, _, ..] if !all => {
            let named = lines.iter().take(MAX_LINES).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let more = if lines.len() > MAX_LINES { ", …" } else { "" };
            Err(Fault::data(format!(
                "old is in the file {} times (lines {named}{more}); nothing was changed",
                lines.len()
            ))
            .hint("include more of the surrounding text, or set replace_all"))
        }
        [at] if !all => Ok(Edited { text: [&text[..at], new, &text[at + old.len()..]].concat(), lines }),
        _ => Ok(Edited { text: text.replace(old, new), lines }),
    }
}

/// The offsets of `old`, overlapping ones included: `aa` occurs twice in `aaa`, so an edit of it is ambiguous.
fn overlapping(text: &str, old: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(old).map(|at| from + at) {
        found.push(at);
        from = at + text[at..].chars().next().map_or(1, char::len_utf8);
    }
    found
}

/// The line numbers, from 1, of these ascending offsets.
fn line_numbers(text: &str, offsets: &[usize]) -> Vec<usize> {
    let (mut number, mut from) = (1, 0);
    let mut count = |at: &usize| {
        number += memchr::memchr_iter(b'\n', &text.as_bytes()[from..*at]).count();
        from = *at;
        number
    };
    offsets.iter().map(&mut count).collect()
}

/// The most likely reason why `old` was not found.
fn explain_missing(text: &str, old: &str) -> String {
    let bare = unnumbered(old);
    if bare.as_ref().is_some_and(|bare| text.contains(bare.as_str())) {
        return "it is there without the line numbers, which `read` adds before the lines".to_owned();
    }
    if text.contains("\r\n") && text.replace("\r\n", "\n").contains(&old.replace("\r\n", "\n")) {
        return "it is there with other line ends: the file's lines end with \\r\\n".to_owned();
    }
    let wanted: Vec<&str> = old.trim().lines().map(str::trim).collect();
    let lines: Vec<&str> = text.lines().take(MAX_SEARCHED).collect();
    let is_here = |window: &[&str]| window.iter().zip(&wanted).all(|(line, wanted)| line.trim() == *wanted);
    if let Some(at) = lines.windows(wanted.len().max(1)).position(|window| !wanted.is_empty() && is_here(window)) {
        return format!("it is there with other white space at line {}: {:?}", at + 1, shown(lines[at]));
    }
    let first = wanted.first().copied().unwrap_or_default();
    if first.is_empty() {
        return "use `read` to see the file".to_owned();
    }
    let like = |line: &str| strsim::normalized_levenshtein(shown(line.trim()), shown(first));
    let scored =
        lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(|(at, line)| (like(line), at));
    match scored.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.5) {
        Some((_, at)) => format!("the line most similar to its first one is {}: {:?}", at + 1, shown(lines[at])),
        None => "no line is similar to its first one; use `read` to see the file".to_owned(),
    }
}

fn shown(line: &str) -> &str {
    crate::core::text::cut::cut(line, MAX_LINE)
}

/// The text without line numbers, if each line starts with one.
fn unnumbered(text: &str) -> Option<String> {
    let bare = |line: &str| {
        let (number, rest) = line.split_once('\t')?;
        number.trim_start().parse::<usize>().ok().map(|_| rest.to_owned())
    };
    Some(text.lines().map(bare).collect::<Option<Vec<_>>>()?.join("\n")).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str, old: &str) -> String {
        replace(text, old, "new", false).unwrap_err().to_string()
    }

    #[test]
    fn single_match_is_replaced_and_its_line_is_returned() {
        let edited = replace("a\nbc\nd\n", "bc", "x\ny", false).unwrap();
        assert_eq!(edited, Edited { text: "a\nx\ny\nd\n".into(), lines: vec![2] });
    }

    #[test]
    fn file_with_crlf_throughout_is_edited_with_either_line_end_and_keeps_its_own() {
        let text = "one\r\ntwo\r\nthree\r\n";
        for old in ["one\ntwo", "one\r\ntwo"] {
            let edited = replace(text, old, "1\n2\r\n3", false).unwrap();
            assert_eq!(edited, Edited { text: "1\r\n2\r\n3\r\nthree\r\n".into(), lines: vec![1] });
        }
        assert_eq!(replace(text, "two", "two\nand", false).unwrap().text, "one\r\ntwo\r\nand\r\nthree\r\n");
        assert!(replace(text, "two\n", "two\r\n", false).unwrap_err().message.contains("the same"));
        let mixed = replace("a\r\nb\n", "b\n", "c\n", false).unwrap();
        assert_eq!(mixed.text, "a\r\nc\n", "a mixed file is edited as it is written");
    }

    #[test]
    fn several_matches_are_refused_unless_all_are_replaced() {
        let message = error("ab\n\nab ab\n", "ab");
        assert!(message.contains("3 times (lines 1, 3, 3)") && message.contains("replace_all"), "{message}");
        assert!(error("aaa", "aa").contains("2 times"));
        let edited = replace("ab\n\nab ab\n", "ab", "c", true).unwrap();
        assert_eq!(edited, Edited { text: "c\n\nc c\n".into(), lines: vec![1, 3, 3] });
    }

    #[test]
    fn missing_text_is_explained() {
        for (text, old, hint) in [
            ("one\ntwo\n", "     1\tone\n     2\ttwo", "without the line numbers"),
            ("one\r\ntwo\r\nthree\n", "one\ntwo", "other line ends"),
            ("if x {\n\treturn;\n}\n", "if x {\n    return;", "other white space at line 1"),
            ("alpha\nthe quick brown fox\n", "the quick brown dog", "is 2: \"the quick brown fox\""),
            ("alpha\n", "something else", "no line is similar"),
            ("", "x", "no line is similar"),
            ("alpha\n", "\n\n\n", "use `read`"),
        ] {
            let message = error(text, old);
            assert!(message.contains(hint), "{message}");
        }
        assert!(error("a", "").contains("empty"));
        assert!(replace("a", "a", "a", false).unwrap_err().message.contains("the same"));
    }

    proptest::proptest! {
        /// A single match changes nothing else; several matches are refused unless all are replaced; a match is
        /// reported only where the text has one.
        #[test]
        fn edit_replaces_exactly_the_match_or_fails(text in "[ab\n]{0,12}", old in "[ab\n]{1,3}", new in "[abc]{0,3}") {
            let places = (0..text.len()).filter(|at| text[*at..].starts_with(&old)).collect::<Vec<_>>();
            match replace(&text, &old, &new, false) {
                Ok(edited) => {
                    assert_eq!(places.len(), 1);
                    let at = places[0];
                    assert_eq!(edited.text, format!("{}{new}{}", &text[..at], &text[at + old.len()..]));
                    assert_eq!(edited.lines, [text[..at].matches('\n').count() + 1]);
                }
                Err(_) => assert!(old == new || places.len() != 1),
            }
            match replace(&text, &old, &new, true) {
                Ok(edited) => assert_eq!((edited.text, edited.lines.len()), (text.replace(&old, &new), text.matches(&old).count())),
                Err(_) => assert!(old == new || places.is_empty()),
            }
        }
    }
}
