//! The origin of single lines of notes. A line that is made of text from outside has a mark with its source. Claw sets
//! these marks: when an agent changes a file, the marks of the new text are those of the old lines, and a line that a
//! tainted turn adds gets the turn's source.

use crate::core::memory::{facts, note_mark};
use crate::core::text::data_mark;
use regex::{Captures, Regex};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

static COMMENT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[ \t]*<!--[^\n]*?-->").ok());

/// Rows for a model, each with the source of its text. Rows from outside stand between marks, their neighbours do not.
/// `random` is called for each fence.
#[must_use]
pub fn fenced(rows: &[(String, Option<String>)], mut random: impl FnMut() -> u64) -> String {
    let groups = rows.chunk_by(|(_, a), (_, b)| a == b);
    let shown = groups.map(|group| {
        let text = group.iter().map(|(row, _)| row.as_str()).collect::<Vec<_>>().join("\n");
        match &group[0].1 {
            Some(source) => data_mark::mark(source, &text, random()),
            None => text,
        }
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// The keys of the lines of `new` that may be facts of other files: those that are not in `old`.
#[must_use]
pub fn added_keys(old: &str, new: &str) -> BTreeSet<String> {
    let known: HashSet<&str> = old.lines().collect();
    let added = new.lines().filter(|line| !known.contains(line));
    added.map(facts::key).filter(|key| !key.is_empty()).collect()
}

/// The mark with a source in a line, if it has one.
#[must_use]
pub fn mark_in(line: &str) -> Option<String> {
    let comments = COMMENT.as_ref()?.find_iter(line);
    comments.map(|found| found.as_str().trim().to_owned()).find(|mark| note_mark::source_in(mark).is_some())
}

/// The new text with the marks of sources that it must have. A line of the old text keeps its own mark, or none. Of
/// another line, a mark that the model wrote is removed. It gets the mark of the same line in the old text or in
/// another file (`elsewhere`: key to mark), else `mark`, the one of the turn's source.
#[must_use]
pub fn carried(old: &str, new: &str, elsewhere: &BTreeMap<String, Option<String>>, mark: Option<&str>) -> String {
    let mut same: HashMap<&str, usize> = HashMap::new();
    let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
    for line in old.lines() {
        *same.entry(line).or_default() += 1;
        let own = mark_in(line);
        let entry = known.entry(key(line)).or_default();
        *entry = own.or(entry.take());
    }
    let line = |line: &str| {
        let (text, end) = match line.strip_suffix("\r\n") {
            Some(text) => (text, "\r\n"),
            None => line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n")),
        };
        if let Some(left) = same.get_mut(text).filter(|left| **left > 0) {
            *left -= 1;
            return line.to_owned();
        }
        let bare = without_sources(text);
        let (with_comments, key) = (key(&bare), facts::key(&bare));
        if key.is_empty() && !bare.contains(char::is_alphanumeric) {
            return format!("{bare}{end}");
        }
        // A comment that is added to a known line is new text; the line is from where it was from all the same.
        let has_comment = with_comments != key;
        let is_same = |own: &&Option<String>| !has_comment || own.is_some();
        let own = known.get(&with_comments).or_else(|| known.get(&key).filter(is_same));
        let own = own.or_else(|| elsewhere.get(&key).filter(is_same)).map_or(mark, Option::as_deref);
        own.map_or_else(|| format!("{bare}{end}"), |mark| format!("{} {mark}{end}", bare.trim_end()))
    };
    new.split_inclusive('\n').map(line).collect()
}

/// The key of a line as a fact, followed by its comments but for the marks of notes: models read comments too.
fn key(line: &str) -> String {
    let comments = COMMENT.iter().flat_map(|comment| comment.find_iter(line)).map(|found| found.as_str().trim());
    let others = comments.filter(|comment| !note_mark::is_mark(comment)).collect::<String>();
    format!("{}{others}", facts::key(line))
}

/// A line without marks that have a source.
fn without_sources(line: &str) -> String {
    let Some(comment) = COMMENT.as_ref() else { return line.to_owned() };
    let kept = |found: &Captures| {
        let mark = found.get(0).map_or("", |whole| whole.as_str());
        // Also a mark that a reader could take for one: any comment with `from:`.
        if mark.contains("from:") { String::new() } else { mark.to_owned() }
    };
    // What is left may be a mark again, if one was written into another.
    let (mut bare, mut before) = (comment.replace_all(line, kept).into_owned(), line.len());
    while bare.len() < before {
        before = bare.len();
        bare = comment.replace_all(&bare, kept).into_owned();
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::memory::passage::sources;

    const WEB: &str = "<!-- 20261121T004130.123456Z-k7f3q9 from:web:a.org -->";

    #[test]
    fn only_lines_from_outside_are_fenced() {
        let marked = format!("  of two lines {WEB}");
        let lines = ["# House", "- own", "- strange", &marked, "- own too"];
        let web = Some("web:a.org".to_owned());
        assert_eq!(sources(&lines), [None, None, web.clone(), web, None]);
        let rows: Vec<(String, Option<String>)> =
            lines.iter().zip(sources(&lines)).map(|(line, source)| ((*line).to_owned(), source)).collect();
        let text = fenced(&rows, || 7);
        let mark = text.split('<').nth(1).unwrap().split(' ').next().unwrap();
        assert_eq!(
            text,
            format!("# House\n- own\n<{mark} from=\"web:a.org\">\n- strange\n{marked}\n</{mark}>\n- own too")
        );
        assert_eq!(fenced(&[], || 7), "");
    }

    #[test]
    fn lines_that_a_tainted_turn_adds_get_its_mark_and_old_ones_keep_theirs() {
        let none = BTreeMap::new();
        let old = format!("- own\n- strange {WEB}\n");
        let turn = "<!-- 20261201T000000.000000Z-aaaaaa from:tool:bash -->";
        let add = |new: &str, mark| carried(&old, new, &none, mark);
        assert_eq!(add(&format!("{old}- new\n\n"), Some(turn)), format!("{old}- new {turn}\n\n"));
        assert_eq!(add(&format!("{old}- new\n"), None), format!("{old}- new\n"));
        assert_eq!(add("- strange\n- own\n", None), format!("- strange {WEB}\n- own\n"), "the mark was left out");
        assert_eq!(add("* Strange.\r\n", Some(turn)), format!("* Strange. {WEB}\r\n"), "another form of the line");
        assert_eq!(add("- own\n- own\n", Some(turn)), "- own\n- own\n");
        assert_eq!(add(&format!("- forged {WEB}\n"), None), "- forged\n");
        assert_eq!(add("- x <!--from:web:b.org--> y\n", Some(turn)), format!("- x y {turn}\n"));
        assert_eq!(add("- x <!-- a comment -->\n", None), "- x <!-- a comment -->\n");
        let nested = format!("- x <!-<!-- from:y -->{}\n", &WEB[3..]);
        assert_eq!(add(&nested, None), "- x\n", "a mark within a mark");
    }

    #[test]
    fn comments_that_a_tainted_turn_adds_get_its_mark() {
        let old = format!("- own <!-- 20261121T004130.123456Z-k7f3q9 -->\n- strange {WEB}\n- kept <!-- why -->\n");
        let turn = "<!-- 20261201T000000.000000Z-aaaaaa from:tool:bash -->";
        let elsewhere = BTreeMap::from([("moved".to_owned(), None)]);
        let add = |new: &str| carried(&old, new, &elsewhere, Some(turn));
        for new in ["<!-- run rm -->", "- <!-- run rm -->", "- own <!-- run rm -->", "- moved <!-- run rm -->"] {
            assert_eq!(add(&format!("{new}\n")), format!("{new} {turn}\n"));
        }
        assert_eq!(add("- strange <!-- run rm -->\n"), format!("- strange <!-- run rm --> {WEB}\n"));
        assert_eq!(add("* Own.\n* kept <!-- why -->\n---\n"), "* Own.\n* kept <!-- why -->\n---\n");
    }

    #[test]
    fn line_that_is_moved_from_another_file_keeps_its_mark() {
        let elsewhere = BTreeMap::from([("moved".to_owned(), Some(WEB.to_owned())), ("own".to_owned(), None)]);
        let turn = "<!-- 20261201T000000.000000Z-aaaaaa from:tool:bash -->";
        let new = carried("", "- moved\n- own\n- new\n", &elsewhere, Some(turn));
        assert_eq!(new, format!("- moved {WEB}\n- own\n- new {turn}\n"));
        assert_eq!(added_keys("- a\n", "- a\n- Moved.\n\n"), BTreeSet::from(["moved".to_owned()]));
    }
}
