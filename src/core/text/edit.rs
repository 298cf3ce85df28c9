//! Replacing a piece of a text: the piece must be found, and only once unless all are meant. What is not
//! found is explained as well as can be, because whoever asked cannot see the file.

use crate::core::fault::{Fault, Result};

/// The most lines that an ambiguous match names.
const MAX_LINES: usize = 20;
/// The most lines that are looked through for one that is like what was meant.
const MAX_LOOKED: usize = 20_000;
/// How much of a line is told, in bytes.
const MAX_LINE: usize = 200;

/// A text that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// All of it.
    pub text: String,
    /// The lines, from 1, at which a piece was replaced: as they were numbered before.
    pub lines: Vec<usize>,
}

/// Puts `new` where `old` is.
///
/// # Errors
/// `Data`, in words for the model: nothing to look for, nothing to change, not found, or found more than once.
pub fn replace(text: &str, old: &str, new: &str, all: bool) -> Result<Edited> {
    if old.is_empty() {
        return Err(Fault::data("old is empty: there is nothing to look for").hint("`write` makes a whole file"));
    }
    if old == new {
        return Err(Fault::data("old and new are the same: nothing would change"));
    }
    let found = if all { text.match_indices(old).map(|(at, _)| at).collect() } else { everywhere(text, old) };
    let lines = numbers(text, &found);
    match found[..] {
        [] => Err(Fault::data(format!("old is not in the file; {}", why(text, old)))),
        [_, _, ..] if !all => {
            let named = lines.iter().take(MAX_LINES).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let more = if lines.len() > MAX_LINES { ", …" } else { "" };
            Err(Fault::data(format!(
                "old is in the file {} times (lines {named}{more}); nothing was changed",
                lines.len()
            ))
            .hint("give more of the text around the one that is meant, or set replace_all"))
        }
        [at] if !all => Ok(Edited { text: [&text[..at], new, &text[at + old.len()..]].concat(), lines }),
        _ => Ok(Edited { text: text.replace(old, new), lines }),
    }
}

/// Where `old` begins, overlapping ones too: `aa` is twice in `aaa`, and nobody can say which was meant.
fn everywhere(text: &str, old: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(old).map(|at| from + at) {
        found.push(at);
        from = at + text[at..].chars().next().map_or(1, char::len_utf8);
    }
    found
}

/// The numbers, from 1, of the lines in which these places lie.
fn numbers(text: &str, places: &[usize]) -> Vec<usize> {
    let (mut number, mut from) = (1, 0);
    let mut count = |at: &usize| {
        number += memchr::memchr_iter(b'\n', &text.as_bytes()[from..*at]).count();
        from = *at;
        number
    };
    places.iter().map(&mut count).collect()
}

/// What most likely went wrong.
fn why(text: &str, old: &str) -> String {
    let bare = unnumbered(old);
    if bare.as_ref().is_some_and(|bare| text.contains(bare.as_str())) {
        return "it is there without the line numbers, which `read` puts before the lines".to_owned();
    }
    if text.contains("\r\n") && text.replace("\r\n", "\n").contains(&old.replace("\r\n", "\n")) {
        return "it is there with other line ends: the file's lines end with \\r\\n".to_owned();
    }
    let wanted: Vec<&str> = old.trim().lines().map(str::trim).collect();
    let lines: Vec<&str> = text.lines().take(MAX_LOOKED).collect();
    let is_here = |window: &[&str]| window.iter().zip(&wanted).all(|(line, wanted)| line.trim() == *wanted);
    if let Some(at) = lines.windows(wanted.len().max(1)).position(|window| !wanted.is_empty() && is_here(window)) {
        return format!("with other white space it is at line {}, which reads {:?}", at + 1, shown(lines[at]));
    }
    let first = wanted.first().copied().unwrap_or_default();
    if first.is_empty() {
        return "`read` shows what is".to_owned();
    }
    let like = |line: &str| strsim::normalized_levenshtein(shown(line.trim()), shown(first));
    let scored =
        lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(|(at, line)| (like(line), at));
    match scored.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.5) {
        Some((_, at)) => format!("the line most like its first one is {}: {:?}", at + 1, shown(lines[at])),
        None => "no line is like its first one; `read` shows what is".to_owned(),
    }
}

fn shown(line: &str) -> &str {
    crate::core::text::cut::cut(line, MAX_LINE)
}

/// The text without numbers before its lines, where each of them has one.
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

    fn refused(text: &str, old: &str) -> String {
        replace(text, old, "new", false).unwrap_err().to_string()
    }

    #[test]
    fn one_place_is_changed_and_its_line_is_told() {
        let edited = replace("a\nbc\nd\n", "bc", "x\ny", false).unwrap();
        assert_eq!(edited, Edited { text: "a\nx\ny\nd\n".into(), lines: vec![2] });
    }

    #[test]
    fn several_places_are_refused_with_their_lines_or_all_changed() {
        let told = refused("ab\n\nab ab\n", "ab");
        assert!(told.contains("3 times (lines 1, 3, 3)") && told.contains("replace_all"), "{told}");
        assert!(refused("aaa", "aa").contains("2 times"));
        let edited = replace("ab\n\nab ab\n", "ab", "c", true).unwrap();
        assert_eq!(edited, Edited { text: "c\n\nc c\n".into(), lines: vec![1, 3, 3] });
    }

    #[test]
    fn what_is_not_found_is_explained() {
        for (text, old, hint) in [
            ("one\ntwo\n", "     1\tone\n     2\ttwo", "without the line numbers"),
            ("one\r\ntwo\r\n", "one\ntwo", "other line ends"),
            ("if x {\n\treturn;\n}\n", "if x {\n    return;", "other white space it is at line 1"),
            ("alpha\nthe quick brown fox\n", "the quick brown dog", "is 2: \"the quick brown fox\""),
            ("alpha\n", "something else", "no line is like"),
            ("", "x", "no line is like"),
            ("alpha\n", "\n\n\n", "`read` shows"),
        ] {
            let told = refused(text, old);
            assert!(told.contains(hint), "{told}");
        }
        assert!(refused("a", "").contains("empty"));
        assert!(replace("a", "a", "a", false).unwrap_err().message.contains("the same"));
    }

    proptest::proptest! {
        /// With one place the rest stays as it is; with several nothing is done unless all are meant; and none
        /// is ever found that is not there.
        #[test]
        fn an_edit_does_what_it_says_or_nothing(text in "[ab\n]{0,12}", old in "[ab\n]{1,3}", new in "[abc]{0,3}") {
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
