//! A Markdown tree as formatted text. No parse mode is used, so that no text can be refused for its markup.

use crate::core::markdown::{self, Block, Cell, Item, Span};
use crate::core::telegram::formatted::{EntityKind, FormattedText, FormattedWriter};

/// The mark of a thematic break.
const RULE: &str = "———";

/// Markdown as formatted text. A text that shows nothing, like one of link definitions only, is shown as it is written.
#[must_use]
pub fn render(text: &str) -> FormattedText {
    let mut writer = FormattedWriter::default();
    Renderer { writer: &mut writer, is_quoted: false }.blocks(&markdown::parse(text), "", "\n\n");
    let rendered = writer.finish();
    if !rendered.text.trim().is_empty() {
        return rendered;
    }
    let mut writer = FormattedWriter::default();
    writer.push(text);
    writer.finish()
}

struct Renderer<'a> {
    writer: &'a mut FormattedWriter,
    /// Within a quotation; Telegram has no nested ones.
    is_quoted: bool,
}

impl Renderer<'_> {
    /// Blocks with `indent` before each and `between` them.
    fn blocks(&mut self, blocks: &[Block], indent: &str, between: &str) {
        for (number, block) in blocks.iter().enumerate() {
            if number > 0 {
                self.writer.push(between);
            }
            self.block(block, if number > 0 { indent } else { "" }, indent);
        }
    }

    /// A block after `first`; its nested lists are indented by `indent`.
    fn block(&mut self, block: &Block, first: &str, indent: &str) {
        match block {
            Block::Paragraph(spans) => {
                self.writer.push(first);
                self.spans(spans, false);
            }
            Block::Heading(_, spans) => {
                self.writer.push(first);
                self.spans(spans, true);
            }
            Block::Code { language, text } => {
                let begin = self.writer.units();
                self.writer.push(text);
                let language = Some(language.as_str()).filter(|language| !language.is_empty());
                self.writer.format(EntityKind::Pre, begin, None, language);
            }
            Block::Quote(blocks) => {
                let (begin, is_outermost) = (self.writer.units(), !self.is_quoted);
                self.is_quoted = true;
                self.blocks(blocks, "", "\n\n");
                if is_outermost {
                    self.is_quoted = false;
                    self.writer.format(EntityKind::Blockquote, begin, None, None);
                }
            }
            Block::List { first: number, items } => self.list(*number, items, first, indent),
            Block::Table { head, rows, .. } => self.table(head, rows),
            Block::Rule => {
                self.writer.push(first);
                self.writer.push(RULE);
            }
        }
    }

    fn list(&mut self, number: Option<u64>, items: &[Item], first: &str, indent: &str) {
        let inner = format!("{indent}   ");
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                self.writer.push("\n");
            }
            self.writer.push(if position > 0 { indent } else { first });
            match (item.checked, number) {
                (Some(true), _) => self.writer.push("☑ "),
                (Some(false), _) => self.writer.push("☐ "),
                (None, Some(number)) => self.writer.push(&format!("{}. ", number.saturating_add(position as u64))),
                (None, None) => self.writer.push("• "),
            }
            self.blocks(&item.blocks, &inner, "\n");
        }
    }

    /// A table as a block of code with aligned columns.
    fn table(&mut self, head: &[Cell], rows: &[Vec<Cell>]) {
        let text = |cells: &[Cell]| -> Vec<String> {
            cells.iter().map(|cell| markdown::plain(cell).replace('\n', " ")).collect()
        };
        let rows: Vec<Vec<String>> = std::iter::once(text(head)).chain(rows.iter().map(|row| text(row))).collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let width =
            |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        let begin = self.writer.units();
        for (number, row) in rows.iter().enumerate() {
            if number > 0 {
                self.writer.push("\n");
            }
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            self.writer.push(cells.collect::<Vec<_>>().join(" | ").trim_end());
        }
        self.writer.format(EntityKind::Pre, begin, None, None);
    }

    fn spans(&mut self, spans: &[Span], is_heading: bool) {
        for Span { text, style } in spans {
            let begin = self.writer.units();
            self.writer.push(text);
            let link = style.link.as_deref().filter(|link| *link != text && link.strip_prefix("mailto:") != Some(text));
            let url = link.filter(|link| is_web(link));
            // Code has no other entities around it.
            if style.code && url.is_none() {
                self.writer.format(EntityKind::Code, begin, None, None);
                self.address(link);
                continue;
            }
            self.writer.format_link(begin, url);
            let styles = [
                (style.bold || is_heading, EntityKind::Bold),
                (style.italic, EntityKind::Italic),
                (style.strike, EntityKind::Strikethrough),
            ];
            for (_, kind) in styles.into_iter().filter(|(is_set, _)| *is_set) {
                self.writer.format(kind, begin, None, None);
            }
            self.address(link.filter(|_| url.is_none()));
        }
    }

    /// Shows the destination of a link that Telegram does not accept.
    fn address(&mut self, link: Option<&str>) {
        if let Some(link) = link {
            self.writer.push(&format!(" ({link})"));
        }
    }
}

/// Whether Telegram accepts a link: an HTTP URL with a host.
fn is_web(link: &str) -> bool {
    url::Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::telegram::formatted::slice;

    fn shown(text: &str) -> (String, Vec<(EntityKind, String)>) {
        let FormattedText { text, entities } = render(text);
        let of = |e: &crate::core::telegram::formatted::TextEntity| {
            (e.kind, slice(&text, e.offset, e.length).unwrap_or("outside").to_owned())
        };
        let entities = entities.iter().map(of).collect();
        (text, entities)
    }

    #[test]
    fn blocks_and_styles_become_entities() {
        use EntityKind::{Blockquote, Bold, Code, Italic, Pre, TextLink};
        let text =
            "# Plan `x`\n\nA **b *c*** and [🥒](https://a.b).\n\n```rust\nfn a() {}\n```\n\n> q\n>\n> > r\n\n---\n";
        let (text, entities) = shown(text);
        assert_eq!(text, "Plan x\n\nA b c and 🥒.\n\nfn a() {}\n\nq\n\nr\n\n———");
        let expected = [
            (Bold, "Plan "),
            (Code, "x"),
            (Bold, "b "),
            (Bold, "c"),
            (Italic, "c"),
            (TextLink, "🥒"),
            (Pre, "fn a() {}"),
            (Blockquote, "q\n\nr"),
        ];
        assert_eq!(entities, expected.map(|(kind, text)| (kind, text.to_owned())));
    }

    #[test]
    fn lists_and_tables_are_readable_without_markup() {
        let (text, _) = shown("1. a\n2. b\n   - [x] c\n   - [ ] d\n\n     e\n");
        assert_eq!(text, "1. a\n2. b\n   ☑ c\n   ☐ d\n      e");
        let (text, entities) = shown("| k | value |\n|---|---|\n| long | 1 |\n| b |\n");
        assert_eq!(text, "k    | value\nlong | 1\nb    |");
        assert_eq!(entities.len(), 1);
    }

    #[test]
    fn only_web_links_are_links_and_no_text_is_empty() {
        let (text, entities) = shown("[x](javascript:alert), [d](https://a.b), <https://a.b/c> and ![](cat.png)");
        assert_eq!(text, "x (javascript:alert), d, https://a.b/c and cat.png");
        assert_eq!(entities, [(EntityKind::TextLink, "d".to_owned())]);
        assert_eq!(shown("[a]: http://b.c").0, "[a]: http://b.c");
        assert_eq!(shown("<b>x</b>").0, "<b>x</b>");
    }
}
