//! Cuts a text into parts that Discord accepts: between paragraphs if possible, a code block whole or closed and reopened,
//! never inside a character as people see it.

use unicode_segmentation::UnicodeSegmentation;

/// The longest part. Discord counts characters; UTF-16 units are never fewer.
const LIMIT: usize = 2000;
/// The mark of a code block.
const FENCE: &str = "```";
/// Bytes of a code block's first line that are repeated when it is reopened.
const MAX_INFO: usize = 20;

/// The parts of a text; none if it is blank.
pub fn parts(text: &str) -> Vec<String> {
    let mut rest = text.trim();
    let mut parts = Vec::new();
    let mut open: Option<String> = None;
    while !rest.is_empty() {
        let begin = open.as_ref().map(|fence| format!("{fence}\n")).unwrap_or_default();
        if units(&begin) + units(rest) <= LIMIT {
            parts.push(format!("{begin}{rest}"));
            break;
        }
        let budget = LIMIT - units(&begin) - FENCE.len() - 1;
        let cut = cut(rest, budget, open);
        let end = if cut.open.is_some() { format!("\n{FENCE}") } else { String::new() };
        let part = format!("{begin}{}{end}", rest[..cut.at].trim_end());
        if !rest[..cut.at].trim().is_empty() {
            parts.push(part);
        }
        rest = rest[cut.at..].trim_start_matches(['\n', '\r']).trim_end();
        open = cut.open;
    }
    parts
}

fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// A place to cut, and the code block that is open there.
#[derive(Clone)]
struct Cut {
    at: usize,
    open: Option<String>,
}

/// The best place to cut a text that is longer than `budget` units.
fn cut(text: &str, budget: usize, mut open: Option<String>) -> Cut {
    let end = prefix(text, budget);
    let (mut paragraph, mut line_end) = (None, None);
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let is_fence = line.trim_start().starts_with(FENCE);
        if at > 0 && at <= end {
            let here = Cut { at, open: open.clone() };
            if open.is_none() && (line.trim().is_empty() || is_fence) {
                paragraph = Some(here.clone());
            }
            line_end = Some(here);
        }
        if at + line.len() > end {
            break;
        }
        if is_fence {
            open = if open.is_some() { None } else { Some(info(line)) };
        }
        at += line.len();
    }
    // A code block that does not fit any more begins the next part, even if this one stays short.
    let keeps_block =
        |cut: &Cut| open.is_some() && units(&text[cut.at..]).min(LIMIT) > 0 && block_fits(&text[cut.at..]);
    match (paragraph, line_end) {
        (Some(cut), _) if cut.at * 2 >= end || keeps_block(&cut) => cut,
        (_, Some(cut)) if cut.at * 2 >= end => cut,
        _ => Cut { at: within_line(text, end), open },
    }
}

/// Whether the text begins, after blank lines, with a code block that fits into a part.
fn block_fits(text: &str) -> bool {
    let text = text.trim_start();
    let Some(inside) = text.strip_prefix(FENCE) else { return false };
    inside.find("\n```").is_some_and(|end| units(&inside[..end]) + 2 * FENCE.len() < LIMIT)
}

/// The first line of a code block, short enough to be repeated.
fn info(line: &str) -> String {
    let line = line.trim();
    line[..line.floor_char_boundary(MAX_INFO.min(line.len()))].to_owned()
}

/// The bytes of the longest beginning of at most `budget` units.
fn prefix(text: &str, budget: usize) -> usize {
    let mut left = budget;
    let fits = |(_, c): &(usize, char)| {
        let fits = c.len_utf16() <= left;
        left = left.saturating_sub(c.len_utf16());
        fits
    };
    text.char_indices().take_while(fits).last().map_or(0, |(at, c)| at + c.len_utf8())
}

/// A place within a line: after a space, else between two characters as people see them.
fn within_line(text: &str, end: usize) -> usize {
    if let Some(space) = text[..end].rfind(char::is_whitespace).filter(|space| space * 2 >= end) {
        return space + text[space..].chars().next().map_or(1, char::len_utf8);
    }
    // A cluster of more than a whole part must be cut somewhere.
    let clusters = text.grapheme_indices(true).map(|(at, _)| at);
    clusters.take_while(|at| *at <= end).last().filter(|at| *at > 0).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_one_part_and_blank_text_none() {
        assert_eq!(parts(" hi\n"), ["hi"]);
        assert_eq!((parts(&"x".repeat(2000)).len(), parts(&"x".repeat(2001)).len()), (1, 2));
        assert!(parts(" \n\t").is_empty());
    }

    #[test]
    fn long_text_is_cut_between_paragraphs() {
        let (one, two) = ("one ".repeat(400), "two ".repeat(400));
        assert_eq!(parts(&format!("{one}\n\n{two}")), [one.trim(), two.trim()]);
    }

    #[test]
    fn code_block_stays_whole_if_it_fits() {
        let (text, code) = ("word ".repeat(100), format!("```rust\n{}```", "let x = 1;\n".repeat(150)));
        assert_eq!(parts(&format!("{text}\n{code}\nend")), [text.trim().to_owned(), format!("{code}\nend")]);
    }

    #[test]
    fn long_code_block_is_closed_and_reopened() {
        let code = format!("```rust\n{}```\nend", "let x = 1;\n".repeat(500));
        let parts = parts(&code);
        assert!(parts.len() >= 3);
        for part in &parts {
            assert!(units(part) <= LIMIT && part.starts_with("```rust\nlet x = 1;\n"), "{part}");
            assert_eq!(part.matches("```").count(), 2);
        }
        let lines: usize = parts.iter().map(|part| part.matches("let x = 1;").count()).sum();
        assert_eq!(lines, 500);
    }

    #[test]
    fn no_character_is_cut() {
        let family = "👨‍👩‍👧‍👦";
        for part in parts(&family.repeat(700)) {
            assert!(units(&part) <= LIMIT);
            assert_eq!(part.replace(family, ""), "");
        }
    }

    #[test]
    fn any_text_is_cut_into_parts_that_fit_and_lose_nothing() {
        let zalgo = format!("a{}", "\u{301}".repeat(5000));
        let ticks = "```".repeat(1500);
        let fences = format!("```{}\n{}", "i".repeat(3000), "x\n".repeat(3000));
        for text in
            [zalgo, ticks, fences, "\n".repeat(5000) + "x", "x".repeat(9999), "a b ".repeat(3000), "é😀".repeat(3000)]
        {
            let parts = parts(&text);
            assert!(parts.iter().all(|part| units(part) <= LIMIT && !part.trim().is_empty()));
            let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace() && *c != '`' && *c != 'i').count();
            assert_eq!(parts.iter().map(|part| visible(part)).sum::<usize>(), visible(&text));
        }
    }
}
