//! Cuts a Markdown text into parts that a platform accepts. The cuts are places of the source, so that a later version
//! of the program, which may render it differently, still sends the same rest.
//!
//! A part ends between two blocks if it can, else at the end of a line, else between two words, else between two grapheme
//! clusters. A block of code that does not fit into a part is closed at its end and opened again in the next one.

use std::ops::Range;
use unicode_segmentation::UnicodeSegmentation;

/// The ends of the parts of `text`, in bytes; the last one is its length. `fits` says whether a part, as [`part`] returns
/// it, is accepted; a single grapheme cluster is a part even if it is not.
pub fn cuts(text: &str, fits: &dyn Fn(&str) -> bool) -> Vec<usize> {
    let lines = lines(text);
    let mut ends = Vec::new();
    let mut from = 0;
    while from < text.len() {
        let end = next(text, from, &lines, fits);
        ends.push(end);
        from = end;
    }
    if ends.is_empty() {
        ends.push(0);
    }
    ends
}

/// The source of the part in `range`: a block of code that is cut is opened and closed within each part.
#[must_use]
pub fn part(text: &str, range: Range<usize>) -> String {
    let lines = lines(text);
    let own = text.get(range.clone()).unwrap_or_default().trim_matches('\n');
    let begin = open_fence(&lines, range.start);
    let end = open_fence(&lines, range.end);
    let mut whole = String::new();
    if let Some(fence) = begin {
        whole.push_str(text[fence.clone()].trim_start());
        whole.push('\n');
    }
    whole.push_str(own);
    if let Some(fence) = end {
        let opening = text[fence].trim_start();
        let mark = opening.chars().next().unwrap_or('`');
        let length = opening.chars().take_while(|c| *c == mark).count();
        whole.push('\n');
        whole.extend(std::iter::repeat_n(mark, length));
    }
    whole
}

/// A line of the source.
struct Line {
    /// Its place, without the line end.
    range: Range<usize>,
    /// The opening line of the block of code that the line is in, or that it opens.
    fence: Option<Range<usize>>,
    /// Whether a block ends before the line: after a blank line, before and after a block of code.
    begins_block: bool,
    /// Whether it closes its block of code.
    closes: bool,
}

fn lines(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut open: Option<(Range<usize>, char, usize)> = None;
    let mut at = 0;
    let (mut is_after_blank, mut is_after_code) = (true, false);
    for line in text.split_inclusive('\n') {
        let range = at..at + line.trim_end_matches(['\n', '\r']).len();
        at += line.len();
        let trimmed = text[range.clone()].trim_start_matches(' ');
        let mark = trimmed.chars().next().filter(|c| matches!(c, '`' | '~'));
        let length = mark.map_or(0, |mark| trimmed.chars().take_while(|c| *c == mark).count());
        let is_fence = length >= 3;
        let mut closes = false;
        let (fence, begins_block) = match &open {
            Some((opened, with, least)) => {
                let fence = Some(opened.clone());
                let rest = trimmed.get(length..).unwrap_or_default();
                closes = mark == Some(*with) && length >= *least && rest.trim().is_empty();
                (fence, false)
            }
            None if is_fence && !(mark == Some('`') && trimmed[length..].contains('`')) => {
                open = Some((range.clone(), mark.unwrap_or('`'), length));
                (Some(range.clone()), true)
            }
            None => (None, is_after_blank || std::mem::take(&mut is_after_code)),
        };
        if closes {
            open = None;
            is_after_code = true;
        }
        is_after_blank = fence.is_none() && trimmed.trim().is_empty();
        lines.push(Line { range, fence, begins_block, closes });
    }
    lines
}

/// The opening line of the block of code that is open at `at`, where a part ends.
fn open_fence(lines: &[Line], at: usize) -> Option<Range<usize>> {
    let line = lines.iter().rev().find(|line| line.range.start <= at)?;
    let is_end = at >= line.range.end && lines.last().is_some_and(|last| last.range == line.range);
    line.fence.clone().filter(|fence| fence.start < line.range.start && !is_end)
}

fn next(text: &str, from: usize, lines: &[Line], fits: &dyn Fn(&str) -> bool) -> usize {
    let is_fit = |end: usize| fits(&part(text, from..end));
    if is_fit(text.len()) {
        return text.len();
    }
    let starts = |wanted: &dyn Fn(&Line) -> bool| -> Vec<usize> {
        lines.iter().filter(|line| line.range.start > from && wanted(line)).map(|line| line.range.start).collect()
    };
    let blocks = starts(&|line| line.begins_block);
    let all = starts(&|line| !line.closes);
    for candidates in [blocks, all] {
        if let Some(end) = last_fit(&candidates, &is_fit) {
            return end;
        }
    }
    let line_end = lines.iter().find(|line| line.range.end > from).map_or(text.len(), |line| line.range.end);
    let rest = &text[from..line_end];
    let words: Vec<usize> =
        rest.match_indices(' ').map(|(at, space)| from + at + space.len()).filter(|end| *end < line_end).collect();
    if let Some(end) = last_fit(&words, &is_fit) {
        return end;
    }
    let clusters: Vec<usize> = rest.grapheme_indices(true).skip(1).map(|(at, _)| from + at).collect();
    last_fit(&clusters, &is_fit).or(clusters.first().copied()).unwrap_or(line_end.max(from + 1).min(text.len()))
}

/// The last candidate that fits. Longer parts are taken to fit less.
fn last_fit(candidates: &[usize], fits: &dyn Fn(usize) -> bool) -> Option<usize> {
    let count = candidates.partition_point(|end| fits(*end));
    count.checked_sub(1).map(|last| candidates[last])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str, most: usize) -> Vec<String> {
        let ends = cuts(text, &|part| part.chars().count() <= most);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(&ends).map(|(from, to)| part(text, from..*to)).collect()
    }

    #[test]
    fn parts_end_between_blocks_then_lines_then_words_then_clusters() {
        assert_eq!(parts("one two\n\nthree four\n\nfive", 20), ["one two\n\nthree four", "five"]);
        assert_eq!(parts("one two\nthree four\nfive six", 20), ["one two\nthree four", "five six"]);
        assert_eq!(parts("one two three four", 8), ["one two ", "three ", "four"]);
        assert_eq!(parts("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(parts("", 4), [""]);
        // A family is one cluster of seven code points.
        let family = "👨‍👩‍👧‍👦";
        assert_eq!(parts(&family.repeat(3), 14), [family.repeat(2), family.to_owned()]);
        assert_eq!(parts(&family.repeat(2), 3), [family, family]);
    }

    #[test]
    fn code_is_kept_whole_or_closed_and_opened_again() {
        let code = "```rust\nfn a() {}\n```";
        assert_eq!(parts(&format!("some text here\n{code}\nmore text"), 26), ["some text here", code, "more text"]);
        let long = "```sh\nline 1\nline 2\nline 3\nline 4\n```\nend";
        assert_eq!(parts(long, 24), ["```sh\nline 1\nline 2\n```", "```sh\nline 3\nline 4\n```", "end"]);
        let tilde = "~~~~\na\n~~~\nb\n~~~~";
        assert_eq!(parts(tilde, 13), ["~~~~\na\n~~~~", "~~~~\n~~~\n~~~~", "~~~~\nb\n~~~~"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn parts_have_all_of_the_text_in_order(text in "([a-z`~ \n]|```|é|👨‍👩‍👧){0,60}", most in 12usize..40) {
            let ends = cuts(&text, &|part| part.chars().count() <= most);
            prop_assert_eq!(*ends.last().unwrap(), text.len());
            prop_assert!(ends.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(ends.iter().all(|end| text.is_char_boundary(*end)));
        }
    }
}
