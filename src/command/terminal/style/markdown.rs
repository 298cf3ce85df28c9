//! Markdown for a terminal: laid out for its width, with colours where it has them. The text is foreign, so its control
//! characters are escaped before anything else.

use super::table::TextTable;
use super::{columns, wrapped};
use crate::core::markdown::{self, Block, Item, Span, Style};
use crate::core::text::visible::escape_controls;

const RESET: &str = "\x1b[0m";

/// The terminal that is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TerminalLook {
    /// In columns.
    pub(crate) width: usize,
    pub(crate) has_colour: bool,
    /// Characters beyond ASCII may be used as decoration.
    pub(crate) is_unicode: bool,
}

/// The lines of a document. Blocks are separated by an empty line.
#[must_use]
pub(crate) fn render(text: &str, look: TerminalLook) -> String {
    let blocks = markdown::parse(&escape_controls(text));
    blocks_lines(&blocks, look).iter().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// A line of a block of code.
#[must_use]
pub(crate) fn code_line(line: &str, look: TerminalLook) -> String {
    let line = format!("  {}", escape_controls(line));
    painted(line.trim_end(), look.has_colour.then_some("36"))
}

fn painted(text: &str, code: Option<&str>) -> String {
    match code {
        Some(code) if !text.is_empty() => format!("\x1b[{code}m{text}{RESET}"),
        _ => text.to_owned(),
    }
}

fn blocks_lines(blocks: &[Block], look: TerminalLook) -> Vec<String> {
    let mut lines = Vec::new();
    for (n, block) in blocks.iter().enumerate() {
        lines.extend((n > 0).then(String::new));
        lines.extend(block_lines(block, look));
    }
    lines
}

fn block_lines(block: &Block, look: TerminalLook) -> Vec<String> {
    match block {
        Block::Paragraph(spans) => spans_lines(spans, look, None),
        Block::Heading(level, spans) => heading(*level, spans, look),
        Block::Code { text, .. } => text.lines().map(|line| code_line(line, look)).collect(),
        Block::Quote(blocks) => {
            let mark = if look.is_unicode { "│ " } else { "| " };
            let inner = blocks_lines(blocks, narrower(look, 2));
            inner.into_iter().map(|line| painted(mark, look.has_colour.then_some("2")) + &line).collect()
        }
        Block::List { first, items } => list(*first, items, look),
        Block::Table { head, rows, right } => table(head, rows, right, look),
        Block::Rule => {
            let line = if look.is_unicode { "─" } else { "-" }.repeat(look.width.min(40));
            vec![painted(&line, look.has_colour.then_some("2"))]
        }
    }
}

fn narrower(look: TerminalLook, by: usize) -> TerminalLook {
    TerminalLook { width: look.width.saturating_sub(by).max(super::NARROWEST), ..look }
}

fn heading(level: u8, spans: &[Span], look: TerminalLook) -> Vec<String> {
    let mark = "#".repeat(level.into()) + " ";
    if look.has_colour {
        let code = if level <= 2 { "1;4" } else { "1" };
        return wrapped(&text_of(spans), look.width).into_iter().map(|line| painted(&line, Some(code))).collect();
    }
    wrapped(&(mark + &text_of(spans)), look.width)
}

/// The text of spans without their styles; a link has its address behind it.
fn text_of(spans: &[Span]) -> String {
    spans.iter().map(|span| span.text.clone() + &address(span)).collect()
}

/// The address of a link, unless its text is the address.
fn address(span: &Span) -> String {
    match &span.style.link {
        Some(link) if *link != span.text && link.strip_prefix("mailto:") != Some(&span.text) => format!(" ({link})"),
        _ => String::new(),
    }
}

/// The escape codes of a style.
fn code_of(style: &Style) -> Option<String> {
    let codes =
        [(style.bold, "1"), (style.italic, "3"), (style.link.is_some(), "4"), (style.strike, "9"), (style.code, "36")];
    let codes: Vec<&str> = codes.into_iter().filter(|(is_set, _)| *is_set).map(|(_, code)| code).collect();
    (!codes.is_empty()).then(|| codes.join(";"))
}

/// Spans in lines of the width, broken between words. A line break of the text stays.
fn spans_lines(spans: &[Span], look: TerminalLook, first: Option<&str>) -> Vec<String> {
    let (mut lines, mut used) = (vec![first.unwrap_or_default().to_owned()], columns(first.unwrap_or_default()));
    let mut is_glued = true;
    for span in spans {
        let code = code_of(&span.style).filter(|_| look.has_colour);
        let dim = look.has_colour.then_some("2");
        for (text, code) in [(span.text.clone(), code.as_deref()), (address(span), dim)] {
            let mut pieces = text.split('\n').peekable();
            while let Some(piece) = pieces.next() {
                let mut words = piece.split(' ').peekable();
                while let Some(word) = words.next() {
                    if !word.is_empty() {
                        let gap = usize::from(!is_glued);
                        if !is_glued && used + gap + columns(word) > look.width {
                            lines.push(String::new());
                            used = 0;
                        } else if gap > 0 {
                            push(&mut lines, " ");
                            used += 1;
                        }
                        push(&mut lines, &painted(word, code));
                        used += columns(word);
                        is_glued = true;
                    }
                    if words.peek().is_some() && used > 0 {
                        is_glued = false;
                    }
                }
                if pieces.peek().is_some() {
                    lines.push(String::new());
                    (used, is_glued) = (0, true);
                }
            }
        }
    }
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(last) = lines.last_mut() {
        last.push_str(text);
    }
}

fn list(first: Option<u64>, items: &[Item], look: TerminalLook) -> Vec<String> {
    let mut lines = Vec::new();
    let marks: Vec<String> =
        (0u64..).zip(items).map(|(n, item)| mark(first.map(|first| first + n), item, look)).collect();
    let indent = marks.iter().map(|mark| columns(mark)).max().unwrap_or(0);
    for (mark, item) in marks.iter().zip(items) {
        let inner = narrower(look, indent);
        let mut is_first = true;
        for block in &item.blocks {
            for line in block_lines(block, inner) {
                let begin = if is_first { mark.as_str() } else { "" };
                lines.push(format!("{begin}{}{line}", " ".repeat(indent - columns(begin))));
                is_first = false;
            }
        }
        lines.extend(is_first.then(|| mark.clone()));
    }
    lines
}

fn mark(number: Option<u64>, item: &Item, look: TerminalLook) -> String {
    let (bullet, open, done) = if look.is_unicode { ("• ", "☐ ", "☑ ") } else { ("- ", "[ ] ", "[x] ") };
    match (item.checked, number) {
        (Some(true), _) => done.to_owned(),
        (Some(false), _) => open.to_owned(),
        (None, Some(number)) => format!("{number}. "),
        (None, None) => bullet.to_owned(),
    }
}

fn table(head: &[Vec<Span>], rows: &[Vec<Vec<Span>>], right: &[usize], look: TerminalLook) -> Vec<String> {
    let head: Vec<String> = head.iter().map(|cell| text_of(cell).replace('\n', " ")).collect();
    let row = |row: &Vec<Vec<Span>>| {
        let mut cells: Vec<String> = row.iter().map(|cell| text_of(cell).replace('\n', " ")).collect();
        cells.resize(head.len(), String::new());
        cells
    };
    let names: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut lines =
        TextTable { head: &names, rows: rows.iter().map(row).collect(), right, whole: &[] }.lines(Some(look.width));
    if let Some(first) = lines.first_mut().filter(|_| look.has_colour) {
        *first = painted(first, Some("1"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: TerminalLook = TerminalLook { width: 24, has_colour: false, is_unicode: true };
    const COLOURED: TerminalLook = TerminalLook { has_colour: true, ..PLAIN };

    #[test]
    fn document_is_laid_out_for_the_width() {
        let text = "# Title\n\nA paragraph with **bold words** and a [link](http://a.b).\n\n- one\n- two long words that wrap\n  1. in\n\n\
                    ```sh\nls -l | grep a very long line\n```\n\n> quoted\n\n| a | b |\n|---|---|\n| 1 | 2 |\n";
        let expected = "# Title\n\nA paragraph with bold\nwords and a link\n(http://a.b).\n\n• one\n• two long words that\n  wrap\n  1. in\n\n  \
                        ls -l | grep a very long line\n\n│ quoted\n\na  b\n1  2\n";
        assert_eq!(render(text, PLAIN), expected);
    }

    #[test]
    fn numbers_of_a_table_are_aligned_as_it_says() {
        assert_eq!(render("| n | a |\n|--:|---|\n| 1 | x |\n| 200 | y |\n", PLAIN), "  n  a\n  1  x\n200  y\n");
    }

    #[test]
    fn styles_are_escape_sequences() {
        assert_eq!(render("a **b** `c`", COLOURED), "a \x1b[1mb\x1b[0m \x1b[36mc\x1b[0m\n");
        assert_eq!(render("## T", COLOURED), "\x1b[1;4mT\x1b[0m\n");
        assert_eq!(render("a **b** `c`", PLAIN), "a b c\n");
    }

    #[test]
    fn styles_within_a_word_stay_together() {
        assert_eq!(render("un**believ**able, and so on it goes", PLAIN), "unbelievable, and so on\nit goes\n");
    }

    #[test]
    fn control_characters_are_escaped_and_wide_text_is_measured() {
        let shown = render("\u{1b}[31mred\u{7} `\u{9b}x`", COLOURED);
        assert!(!shown.contains("\x1b[31m") && !shown.contains('\u{7}') && !shown.contains('\u{9b}'), "{shown:?}");
        assert_eq!(render("日本語 日本語 日本語 日本語", PLAIN), "日本語 日本語 日本語\n日本語\n");
        assert_eq!(render("שלום עולם", PLAIN), "שלום עולם\n");
    }

    #[test]
    fn narrow_terminals_and_ascii_are_enough() {
        let look = TerminalLook { width: 10, has_colour: false, is_unicode: false };
        assert_eq!(render("- a b\n- [x] c", look), "- a b\n[x] c\n".replace("- a b", "-   a b"));
        assert_eq!(render("---", look), "----------\n");
    }

    proptest::proptest! {
        /// No text makes the renderer fail, lose a letter, or write a control character of the text.
        #[test]
        fn every_letter_is_shown(text in "([a-z]{1,9}|\\*\\*|`|\n|\n\n|- |# |> |\\| |1\\. |```\n|\u{1b}|日| ){0,30}") {
            let shown = render(&text, PLAIN);
            let letters = |text: &str| text.chars().filter(char::is_ascii_lowercase).collect::<String>();
            // The name of a language is not shown, and an escape has letters of its own.
            let has_escape = shown.contains('\u{1b}');
            proptest::prop_assert!(!has_escape);
            if !text.contains("```") && !text.contains('\u{1b}') && !text.contains('|') {
                proptest::prop_assert_eq!(letters(&shown), letters(&text));
            }
        }
    }
}
