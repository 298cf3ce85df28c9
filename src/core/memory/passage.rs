//! The surroundings of a line of a note: its headings, the whole item or paragraph, its day and its source.

use crate::core::memory::note_mark;
use jiff::civil::Date;

/// The longest passage, in characters.
const MAX: usize = 2_000;
/// The most lines that are searched for the beginning of a passage.
const REACH: usize = 200;

/// A line of a note with its surroundings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// The line without list marker and comment.
    pub line: String,
    /// The whole item of a list with its continuation lines, or the paragraph; of a heading, the lines below it.
    pub text: String,
    /// The headings above the line, outermost first, joined by ` > `; empty without any.
    pub heading: String,
    /// The day on which the note was made, if its mark tells.
    pub day: Option<Date>,
    /// The source of the note, if it was made of text from outside.
    pub source: Option<String>,
    /// The lines of `text`, each with its own source.
    pub rows: Vec<(String, Option<String>)>,
    /// The source of the first heading above the line that was made of text from outside.
    pub heading_source: Option<String>,
}

/// The surroundings of the line with this number, from 1. `None` if the text has no such line.
#[must_use]
pub fn around(text: &str, number: usize) -> Option<Passage> {
    let lines: Vec<&str> = text.lines().collect();
    let at = number.checked_sub(1).filter(|at| *at < lines.len())?;
    let range = if level(lines[at]).is_some() { below_heading(&lines, at) } else { item(&lines, at) };
    let whole = lines[range.clone()].join("\n");
    let mut room = MAX;
    let mut rows = Vec::new();
    for (line, source) in lines[range.clone()].iter().zip(sources(&lines[range])) {
        if let Some(text) = clean(line).filter(|_| room > 0) {
            let text: String = text.chars().take(room).collect();
            room = room.saturating_sub(text.chars().count() + 1);
            rows.push((text, source));
        }
    }
    let above = headings(&lines, at);
    Some(Passage {
        line: clean(lines[at]).unwrap_or_default(),
        text: rows.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join("\n"),
        heading: above.iter().filter_map(|line| clean(line)).collect::<Vec<_>>().join(" > "),
        day: note_mark::day_in(&whole),
        source: note_mark::source_in(&whole),
        rows,
        heading_source: above.iter().find_map(|line| note_mark::source_in(line)),
    })
}

/// The source of each line. A line without a mark has that of its item, if the item's last line has one.
#[must_use]
pub fn sources(lines: &[&str]) -> Vec<Option<String>> {
    let mut sources: Vec<Option<String>> = lines.iter().map(|line| note_mark::source_in(line)).collect();
    for at in (1..lines.len()).rev() {
        let is_continued = lines[at].starts_with([' ', '\t']) && !is_item(lines[at]);
        if is_continued && sources[at].is_some() && sources[at - 1].is_none() && !lines[at - 1].contains("<!-- ") {
            let (before, from) = sources.split_at_mut(at);
            before[at - 1].clone_from(&from[0]);
        }
    }
    sources
}

/// The text of a note's line without its list marker and comments; `None` if nothing is left.
#[must_use]
pub fn clean(line: &str) -> Option<String> {
    let mut text = line.trim().to_owned();
    while let (Some(start), Some(end)) = (text.find("<!--"), text.find("-->")) {
        if start > end {
            break;
        }
        text.replace_range(start..end + 3, "");
    }
    let text = match level(&text) {
        Some(level) => &text[level..],
        None => text.trim_start_matches(['-', '*', '+', '>', ' ']),
    };
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The level of a Markdown heading, from 1.
pub(super) fn level(line: &str) -> Option<usize> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    ((1..=6).contains(&level) && line[level..].starts_with([' ', '\t'])).then_some(level)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

pub(super) fn is_item(line: &str) -> bool {
    let text = line.trim_start();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.starts_with(['-', '*', '+']) && text[1..].starts_with(' ')
        || digits > 0 && text[digits..].starts_with(['.', ')']) && text[digits + 1..].starts_with(' ')
}

/// The lines of an item of a list, or of a paragraph.
fn item(lines: &[&str], at: usize) -> std::ops::Range<usize> {
    let is_end = |line: &str| line.trim().is_empty() || level(line).is_some();
    let mut from = at;
    while from > at.saturating_sub(REACH) && !is_item(lines[from]) && from > 0 && !is_end(lines[from - 1]) {
        from -= 1;
    }
    let own = indent(lines[from]);
    let mut end = at + 1;
    while end < lines.len() && !is_end(lines[end]) && !(is_item(lines[end]) && indent(lines[end]) <= own) {
        end += 1;
    }
    from..end
}

/// A heading with the text below it, up to the next heading.
fn below_heading(lines: &[&str], at: usize) -> std::ops::Range<usize> {
    let rest = &lines[at + 1..];
    at..at + 1 + rest.iter().take(REACH).position(|line| level(line).is_some()).unwrap_or(rest.len().min(REACH))
}

/// The headings above a line, the outermost first.
fn headings<'t>(lines: &[&'t str], at: usize) -> Vec<&'t str> {
    let mut found = Vec::new();
    let mut lowest = level(lines[at]).unwrap_or(7);
    for line in lines[..at].iter().rev() {
        if let Some(level) = level(line).filter(|level| *level < lowest) {
            lowest = level;
            found.push(*line);
        }
        if lowest == 1 {
            break;
        }
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: &str = "# House\n\n## Network\n- the NAS\n  has 10.0.0.7 <!-- 20261121T004130.123456Z-k7f3q9 from:web:a.org -->\n  - nested\n- other\n\nA paragraph\nof two lines.\n";

    #[test]
    fn item_and_paragraph_are_whole_and_have_their_headings() {
        let passage = around(NOTES, 5).unwrap();
        assert_eq!(passage.text, "the NAS\nhas 10.0.0.7\nnested");
        assert_eq!((passage.line.as_str(), passage.heading.as_str()), ("has 10.0.0.7", "House > Network"));
        assert_eq!(passage.day, Some(Date::constant(2026, 11, 21)));
        assert_eq!(passage.source.as_deref(), Some("web:a.org"));
        assert_eq!(around(NOTES, 9).unwrap().text, "A paragraph\nof two lines.");
        assert_eq!(around(NOTES, 9).unwrap().source, None, "a neighbour's source is not its own");
        assert_eq!(around(NOTES, 3).unwrap().heading, "House");
        assert!(around(NOTES, 3).unwrap().text.starts_with("Network\nthe NAS"));
        assert_eq!((around(NOTES, 0), around(NOTES, 99)), (None, None));
    }

    #[test]
    fn rows_and_headings_have_their_own_sources() {
        let web = Some("web:a.org".to_owned());
        let rows = |number| around(NOTES, number).unwrap().rows;
        assert_eq!(
            rows(4),
            [("the NAS".into(), web.clone()), ("has 10.0.0.7".into(), web.clone()), ("nested".into(), None)]
        );
        let below: Vec<bool> = rows(3).iter().map(|(_, source)| source.is_some()).collect();
        assert_eq!(below, [false, true, true, false, false, false, false], "a heading with the lines below it");
        assert_eq!(around(NOTES, 5).unwrap().heading_source, None);
        let strange = NOTES.replace("## Network", "## Network <!-- 20261121T004130.123456Z-k7f3q9 from:web:a.org -->");
        let passage = around(&strange, 7).unwrap();
        assert_eq!((passage.heading.as_str(), passage.heading_source, passage.source), ("House > Network", web, None));
        let long = format!("- {}\n  end\n", "x".repeat(MAX));
        assert_eq!(around(&long, 1).unwrap().text.chars().count(), MAX);
    }

    #[test]
    fn list_markers_and_comments_are_removed_and_tags_stay() {
        assert_eq!(clean("- the NAS <!-- 2026-x -->").as_deref(), Some("the NAS"));
        assert_eq!(clean("# 2026-11-21").as_deref(), Some("2026-11-21"));
        assert_eq!(clean("#tag").as_deref(), Some("#tag"));
        assert_eq!(clean("  "), None);
        assert_eq!(clean("x --> y <!--").as_deref(), Some("x --> y <!--"), "no comment at all");
    }
}
