//! The facts in a text of notes: items of lists and paragraphs, without markers, comments and line breaks. Two facts are
//! the same if their keys are.

use crate::core::memory::query::fold;
use crate::core::memory::{note_mark, passage};
use std::collections::BTreeSet;

/// The line around a fact that no longer holds.
const STRUCK: &str = "~~";

/// A fact in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The number of its first line, from 1.
    pub line: usize,
    /// The text in the form that is compared.
    pub key: String,
    /// The source in its mark, if it was made of text from outside.
    pub source: Option<String>,
    /// It was replaced by another fact.
    pub is_struck: bool,
}

/// The form in which facts are compared: folded, one space between words, without the full stop at the end.
#[must_use]
pub fn key(text: &str) -> String {
    let words: Vec<String> = text.lines().filter_map(passage::clean).map(|line| fold(&line)).collect();
    let words = words.iter().flat_map(|line| line.split_whitespace()).collect::<Vec<_>>().join(" ");
    words.trim_matches('~').trim_end_matches(['.', ' ']).to_owned()
}

/// The facts of a text, in order. Headings and empty lines are none.
#[must_use]
pub fn all(text: &str) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut first = 0;
    for (number, line) in (1..).zip(text.lines()).chain([(0, "")]) {
        let is_end = line.trim().is_empty() || passage::level(line).is_some();
        if is_end || passage::is_item(line) {
            facts.extend(fact(first, &open));
            open.clear();
        }
        if !is_end {
            if open.is_empty() {
                first = number;
            }
            open.push(line);
        }
    }
    facts
}

fn fact(line: usize, lines: &[&str]) -> Option<Fact> {
    let whole = lines.join("\n");
    let key = key(&whole);
    let is_struck = is_struck(lines.first()?);
    let source = note_mark::source_in(&whole);
    (!key.is_empty()).then_some(Fact { line, key, source, is_struck })
}

/// The facts of a text as they would be noted: without list markers and comments.
#[must_use]
pub fn texts(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.strip_prefix('\u{feff}').unwrap_or(text).lines().collect();
    let facts = all(&lines.join("\n"));
    let starts = facts.iter().filter(|fact| !fact.is_struck).map(|fact| fact.line - 1);
    let cleaned = |start: usize| {
        let end = end_of(&lines, start);
        lines[start..end].iter().filter_map(|line| passage::clean(line)).collect::<Vec<_>>().join("\n")
    };
    starts.map(cleaned).collect()
}

/// The line after the fact that begins at `start`.
fn end_of(lines: &[&str], start: usize) -> usize {
    let is_part = |line: &str| !line.trim().is_empty() && !passage::is_item(line) && passage::level(line).is_none();
    let rest = lines.iter().skip(start + 1);
    start + 1 + rest.take_while(|line| is_part(line)).count()
}

/// Whether a line is struck out as a whole.
#[must_use]
pub fn is_struck(line: &str) -> bool {
    passage::clean(line)
        .is_some_and(|text| text.len() > 2 * STRUCK.len() && text.starts_with(STRUCK) && text.ends_with(STRUCK))
}

/// The text with the fact at this line, from 1, struck out; `None` if there is no fact, or it is struck already.
#[must_use]
pub fn strike(text: &str, line: usize) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let plain: Vec<&str> = text.lines().collect();
    let at = line.checked_sub(1).filter(|at| *at < plain.len())?;
    let fact = all(text).into_iter().rev().find(|fact| fact.line <= line)?;
    let end = end_of(&plain, fact.line - 1);
    if fact.is_struck || at >= end {
        return None;
    }
    let mut struck = lines[..fact.line - 1].concat();
    struck.extend(lines[fact.line - 1..end].iter().map(|line| strike_line(line)));
    struck.push_str(&lines[end..].concat());
    Some(struck)
}

/// A line with its text between the marks of struck text; list marker, comment and line break stay.
fn strike_line(line: &str) -> String {
    let Some(text) = passage::clean(line) else { return line.to_owned() };
    // A comment within the text leaves it in two parts.
    let Some(from) = line.find(&text) else { return line.to_owned() };
    format!("{}{STRUCK}{text}{STRUCK}{}", &line[..from], &line[from + text.len()..])
}

/// The number of the facts in `old`, and of those that are neither in `new` nor in `elsewhere`.
#[must_use]
pub fn lost(old: &BTreeSet<String>, new: &str, elsewhere: impl Fn(&str) -> bool) -> (usize, usize) {
    let kept: BTreeSet<String> = all(new).into_iter().map(|fact| fact.key).collect();
    let lost = old.iter().filter(|key| !kept.contains(*key) && !elsewhere(key)).count();
    (old.len(), lost)
}

/// The keys of a text's facts that still hold.
#[must_use]
pub fn keys(text: &str) -> BTreeSet<String> {
    all(text).into_iter().filter(|fact| !fact.is_struck).map(|fact| fact.key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: &str = "# House\n\n- The NAS has\n  10.0.0.7. <!-- 20261121T004130.123456Z-k7f3q9 from:web:a.org -->\n  - nested\n\nA paragraph\nof two lines.\n- ~~old~~ <!-- x -->\n";

    #[test]
    fn items_and_paragraphs_are_facts() {
        let facts = all(NOTES);
        let keys: Vec<(usize, &str)> = facts.iter().map(|fact| (fact.line, fact.key.as_str())).collect();
        assert_eq!(keys, [(3, "the nas has 10.0.0.7"), (5, "nested"), (7, "a paragraph of two lines"), (9, "old")]);
        assert_eq!(facts[0].source.as_deref(), Some("web:a.org"));
        assert_eq!(facts.iter().map(|fact| fact.is_struck).collect::<Vec<_>>(), [false, false, false, true]);
        assert_eq!(key("the  NAS has\n10.0.0.7"), facts[0].key);
        assert_eq!(all(""), []);
    }

    #[test]
    fn whole_fact_is_struck_once_and_nothing_else() {
        let struck = strike(NOTES, 4).unwrap();
        let expected = NOTES.replace("- The NAS has\n  10.0.0.7. ", "- ~~The NAS has~~\n  ~~10.0.0.7.~~ ");
        assert_eq!(struck, expected);
        assert_eq!(strike(&struck, 3), None, "it is struck already");
        assert_eq!(strike(NOTES, 1), None, "a heading");
        assert_eq!(strike(NOTES, 6), None, "an empty line");
        assert_eq!((strike(NOTES, 0), strike(NOTES, 99)), (None, None));
        assert_eq!(strike("- a\r\n- b\r\n", 1).unwrap(), "- ~~a~~\r\n- b\r\n");
    }

    #[test]
    fn facts_of_a_file_are_noted_without_markers() {
        assert_eq!(texts(NOTES), ["The NAS has\n10.0.0.7.", "nested", "A paragraph\nof two lines."]);
        assert_eq!(texts("# x\n"), [""; 0]);
    }

    #[test]
    fn facts_that_went_elsewhere_are_not_lost() {
        let old = keys("- a\n- b\n- c\n- ~~d~~\n");
        assert_eq!(lost(&old, "- A.\n", |key| key == "b"), (3, 1));
        assert_eq!(lost(&old, "- a\n- b\n- c\n", |_| false), (3, 0));
    }
}
