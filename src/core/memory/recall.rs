//! Full-text search in notes: lines that contain words of the query, ranked by BM25. Lines that contain the whole query
//! verbatim come first, so that the search finds every line that grep finds.

use crate::core::memory::note_mark;
use bm25::{Document, SearchEngineBuilder, Tokenizer};

/// One line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteLine {
    /// The file, relative to the workspace.
    pub path: String,
    /// The line's number, from 1.
    pub number: usize,
    /// The line without list marker and comment.
    pub text: String,
    /// The source of its note, if the note was made of text from outside.
    pub source: Option<String>,
}

/// The lines of a file of notes that contain text.
pub fn lines<'a>(path: &'a str, text: &'a str) -> impl Iterator<Item = NoteLine> + 'a {
    // The mark that names the source stands behind the last line of a note.
    let mut sources: Vec<Option<String>> = text.lines().map(note_mark::source_in).collect();
    let continues: Vec<bool> = text.lines().map(|line| line.starts_with("  ")).collect();
    for at in (1..sources.len()).rev().filter(|at| continues[*at]) {
        if let (before, [source, ..]) = sources.split_at_mut(at)
            && let Some(last) = before.last_mut().filter(|last| last.is_none())
        {
            last.clone_from(source);
        }
    }
    text.lines().zip(sources).enumerate().filter_map(move |(number, (line, source))| {
        Some(NoteLine { path: path.to_owned(), number: number + 1, text: clean(line)?, source })
    })
}

/// Stop words: they are ignored unless the query consists of nothing else.
const STOP: &[&str] = &[
    "a", "an", "and", "are", "at", "be", "can", "did", "do", "does", "for", "from", "has", "have", "how", "i", "in",
    "is", "it", "its", "know", "me", "my", "of", "on", "or", "our", "s", "tell", "that", "the", "their", "there",
    "this", "to", "was", "were", "what", "when", "where", "which", "who", "whose", "why", "with", "you", "your",
];

/// The tokenizer: lower-case words; overlapping pairs of characters for scripts without spaces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words;

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut word = String::new();
        let mut wide: Vec<char> = Vec::new();
        for c in text.chars().flat_map(char::to_lowercase).chain([' ']) {
            let is_wide =
                matches!(u32::from(c), 0x2e80..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x3ffff);
            if !is_wide {
                match wide[..] {
                    [one] => words.push(one.to_string()),
                    _ => words.extend(wide.windows(2).map(|pair| pair.iter().collect::<String>())),
                }
                wide.clear();
            }
            if c.is_alphanumeric() && !is_wide {
                word.push(c);
            } else if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            if is_wide {
                wide.push(c);
            }
        }
        words
    }
}

/// The text of a note's line without its list marker and comments; `None` for headings and empty lines.
#[must_use]
pub fn clean(line: &str) -> Option<String> {
    let mut text = line.trim().to_owned();
    while let (Some(start), Some(end)) = (text.find("<!--"), text.find("-->")) {
        if start > end {
            break;
        }
        text.replace_range(start..end + 3, "");
    }
    let text = text.trim_start_matches(['-', '*', '+', '>', ' ']).trim();
    (!text.is_empty() && !text.starts_with('#')).then(|| text.to_owned())
}

/// At most `limit` lines that match `query`, best first.
#[must_use]
pub fn search(lines: &[NoteLine], query: &str, limit: usize) -> Vec<NoteLine> {
    if lines.is_empty() {
        return Vec::new();
    }
    let mut wanted: Vec<String> = Words.tokenize(query);
    if wanted.iter().any(|w| !STOP.contains(&w.as_str())) {
        wanted.retain(|w| !STOP.contains(&w.as_str()));
    }
    let query = query.trim().to_lowercase();
    let holds = |line: &NoteLine| !query.is_empty() && line.text.to_lowercase().contains(&query);
    let documents = lines.iter().enumerate().map(|(n, line)| Document::new(n, line.text.as_str()));
    let engine = SearchEngineBuilder::<usize, u32, Words>::with_tokenizer_and_documents(Words, documents).build();
    let mut scored: Vec<(bool, f32, usize)> = engine
        .search(&wanted.join(" "), None)
        .into_iter()
        .map(|hit| (holds(&lines[hit.document.id]), hit.score, hit.document.id))
        .collect();
    let found: std::collections::HashSet<usize> = scored.iter().map(|s| s.2).collect();
    scored.extend((0..lines.len()).filter(|n| !found.contains(n) && holds(&lines[*n])).map(|n| (true, 0.0, n)));
    // Equal scores: the newest note first. Daily notes sort by date, and later lines are newer.
    scored.sort_by(|a, b| {
        b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)).then_with(|| {
            let (a, b) = (&lines[a.2], &lines[b.2]);
            (&b.path, b.number).cmp(&(&a.path, a.number))
        })
    });
    scored.into_iter().take(limit).map(|(_, _, n)| lines[n].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<NoteLine> {
        let line = |(n, t): (usize, &&str)| NoteLine {
            path: "memories/x.md".into(),
            number: n + 1,
            text: (*t).to_owned(),
            source: None,
        };
        texts.iter().enumerate().map(line).collect()
    }

    fn found(texts: &[&str], query: &str) -> Vec<usize> {
        search(&lines(texts), query, 9).iter().map(|l| l.number).collect()
    }

    #[test]
    fn lines_with_words_of_the_query_are_found() {
        let notes = ["the NAS is 10.0.0.7", "the printer is upstairs", "milk, bread"];
        assert_eq!(found(&notes, "where is the NAS?"), [1]);
        assert_eq!(found(&notes, "bread"), [3]);
        assert!(found(&notes, "submarine").is_empty());
    }

    #[test]
    fn every_line_that_grep_finds_is_found_in_every_script() {
        let notes = ["path /etc/fstab:3", "猫の名前はタマです", "Die Straße heißt Öderweg", "кот по имени Барсик"];
        assert_eq!(found(&notes, "fstab:3"), [1]);
        assert_eq!(found(&notes, "名前"), [2]);
        assert_eq!(found(&notes, "öderweg"), [3]);
        assert_eq!(found(&notes, "БАРСИК"), [4]);
        assert_eq!(found(&notes, "erwe"), [3], "part of a word, as grep would");
    }

    #[test]
    fn equal_scores_are_ordered_newest_first() {
        assert_eq!(found(&["the code is 1", "the code is 2"], "code"), [2, 1]);
    }

    #[test]
    fn list_markers_and_comments_are_removed() {
        assert_eq!(clean("- the NAS <!-- 2026-x -->").as_deref(), Some("the NAS"));
        assert_eq!(clean("# 2026-11-21"), None);
        assert_eq!(clean("  "), None);
        assert_eq!(clean("x --> y <!--").as_deref(), Some("x --> y <!--"), "no comment at all");
    }
}
