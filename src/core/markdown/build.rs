//! Builds the tree from the events of the parser.

use crate::core::markdown::{Block, Cell, Item, MAX_DEPTH, Span, Style};
use pulldown_cmark::{Alignment, CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// The document as a tree. Every text is valid Markdown, so there is no error.
#[must_use]
pub fn parse(text: &str) -> Vec<Block> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut builder = Builder { open: vec![Open::default()], ..Builder::default() };
    for event in Parser::new_ext(text, options) {
        builder.add(event);
    }
    builder.finish()
}

/// A container whose end has not come yet.
#[derive(Default)]
struct Open {
    container: Container,
    blocks: Vec<Block>,
}

#[derive(Default)]
enum Container {
    #[default]
    Document,
    Quote,
    List(Option<u64>, Vec<Item>),
    Item(Option<bool>),
    /// A container below the deepest allowed one; its blocks go to the one above.
    Ignored,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    /// The text of the current block.
    spans: Vec<Span>,
    /// How many of each style are open.
    bold: usize,
    italic: usize,
    strike: usize,
    links: Vec<String>,
    /// The number of spans at the beginning of each open image; an image without a description shows its address.
    images: Vec<usize>,
    /// The language and the text of the current block of code.
    code: Option<(String, String)>,
    table: Option<(Vec<Cell>, Vec<Vec<Cell>>)>,
    /// The columns of the table that are aligned to the right.
    right: Vec<usize>,
    row: Vec<Cell>,
}

impl Builder {
    fn add(&mut self, event: Event) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text, false),
            Event::Code(text) => self.text(&text, true),
            Event::SoftBreak | Event::HardBreak => self.text("\n", false),
            Event::Rule => self.block(Block::Rule),
            Event::TaskListMarker(checked) => {
                if let Some(Open { container: Container::Item(mark), .. }) = self.open.last_mut() {
                    *mark = Some(checked);
                }
            }
            // Their extensions are not enabled.
            Event::FootnoteReference(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.text(&text, false);
            }
        }
    }

    fn start(&mut self, tag: Tag) {
        match tag {
            Tag::BlockQuote(_) => self.container(Container::Quote),
            Tag::List(first) => self.container(Container::List(first, Vec::new())),
            Tag::Item => self.container(Container::Item(None)),
            Tag::CodeBlock(kind) => {
                self.flush();
                let info = match kind {
                    CodeBlockKind::Fenced(info) => info.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                let language = info.split_whitespace().next().unwrap_or_default().to_owned();
                self.code = Some((language, String::new()));
            }
            Tag::Table(columns) => {
                self.flush();
                let is_right = |at: &usize| columns.get(*at) == Some(&Alignment::Right);
                self.right = (0..columns.len()).filter(is_right).collect();
                self.table = Some(Default::default());
            }
            Tag::Emphasis => self.italic += 1,
            Tag::Strong => self.bold += 1,
            Tag::Strikethrough => self.strike += 1,
            Tag::Link { dest_url, .. } => self.links.push(dest_url.into_string()),
            Tag::Image { dest_url, .. } => {
                self.links.push(dest_url.into_string());
                self.images.push(self.spans.len());
            }
            Tag::Paragraph | Tag::Heading { .. } | Tag::HtmlBlock => self.flush(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.flush(),
            TagEnd::Heading(level) => {
                let spans = std::mem::take(&mut self.spans);
                self.block(Block::Heading(number(level), spans));
            }
            TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item => self.close(),
            TagEnd::CodeBlock => {
                if let Some((language, mut text)) = self.code.take() {
                    text.truncate(text.strip_suffix('\n').unwrap_or(&text).len());
                    self.block(Block::Code { language, text });
                }
            }
            TagEnd::TableCell => self.row.push(std::mem::take(&mut self.spans)),
            TagEnd::TableHead => {
                if let Some((head, _)) = &mut self.table {
                    *head = std::mem::take(&mut self.row);
                }
            }
            TagEnd::TableRow => {
                if let Some((_, rows)) = &mut self.table {
                    rows.push(std::mem::take(&mut self.row));
                }
            }
            TagEnd::Table => {
                if let Some((head, rows)) = self.table.take() {
                    let right = std::mem::take(&mut self.right);
                    self.block(Block::Table { head, rows, right });
                }
            }
            TagEnd::Emphasis => self.italic = self.italic.saturating_sub(1),
            TagEnd::Strong => self.bold = self.bold.saturating_sub(1),
            TagEnd::Strikethrough => self.strike = self.strike.saturating_sub(1),
            TagEnd::Link => drop(self.links.pop()),
            TagEnd::Image => {
                if self.images.pop() == Some(self.spans.len()) {
                    let address = self.links.last().cloned().unwrap_or_default();
                    self.text(&address, false);
                }
                self.links.pop();
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str, code: bool) {
        if let Some((_, block)) = &mut self.code {
            block.push_str(text);
            return;
        }
        if text.is_empty() {
            return;
        }
        let style = Style {
            bold: self.bold > 0,
            italic: self.italic > 0,
            strike: self.strike > 0,
            code,
            link: self.links.last().filter(|link| !link.is_empty()).cloned(),
        };
        let is_new_image = self.images.last() == Some(&self.spans.len());
        match self.spans.last_mut().filter(|last| last.style == style && !is_new_image) {
            Some(last) => last.text.push_str(text),
            None => self.spans.push(Span { text: text.to_owned(), style }),
        }
    }

    /// Ends the current paragraph, if there is one.
    fn flush(&mut self) {
        let mut spans = std::mem::take(&mut self.spans);
        if let Some(last) = spans.last_mut() {
            last.text.truncate(last.text.trim_end_matches('\n').len());
        }
        spans.retain(|span| !span.text.is_empty());
        if !spans.is_empty() {
            self.put(Block::Paragraph(spans));
        }
    }

    fn block(&mut self, block: Block) {
        self.flush();
        self.put(block);
    }

    fn put(&mut self, block: Block) {
        if let Some(open) = self.open.last_mut() {
            open.blocks.push(block);
        }
    }

    fn container(&mut self, container: Container) {
        self.flush();
        // An item counts with its list, so that no list is without items.
        let is_deep = self.open.len() > MAX_DEPTH
            && !matches!(self.open.last(), Some(Open { container: Container::List(..), .. }));
        self.open.push(Open { container: if is_deep { Container::Ignored } else { container }, blocks: Vec::new() });
    }

    fn close(&mut self) {
        self.flush();
        if self.open.len() < 2 {
            return;
        }
        let Some(Open { container, blocks }) = self.open.pop() else { return };
        match container {
            Container::Document => {}
            Container::Quote => self.put(Block::Quote(blocks)),
            Container::List(first, items) => self.put(Block::List { first, items }),
            Container::Item(checked) => {
                if let Some(Open { container: Container::List(_, items), .. }) = self.open.last_mut() {
                    items.push(Item { checked, blocks });
                }
            }
            Container::Ignored => blocks.into_iter().for_each(|block| self.put(block)),
        }
    }

    fn finish(mut self) -> Vec<Block> {
        self.flush();
        while self.open.len() > 1 {
            self.close();
        }
        self.open.pop().map(|open| open.blocks).unwrap_or_default()
    }
}

fn number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> Span {
        Span { text: text.into(), style: Style::default() }
    }

    fn paragraph(text: &str) -> Block {
        Block::Paragraph(vec![span(text)])
    }

    #[test]
    fn blocks_and_styles_are_kept() {
        let text = "# Title\n\nA **bold *both*** and `code`,\nnext [link](https://a.b/c).\n\n```rust x\nfn a() {}\n```\n\n> q\n\n---\n";
        let style = |bold, italic, code| Style { bold, italic, code, ..Style::default() };
        let styled = |text: &str, style| Span { text: text.into(), style };
        let link = Style { link: Some("https://a.b/c".into()), ..Style::default() };
        assert_eq!(
            parse(text),
            [
                Block::Heading(1, vec![span("Title")]),
                Block::Paragraph(vec![
                    span("A "),
                    styled("bold ", style(true, false, false)),
                    styled("both", style(true, true, false)),
                    span(" and "),
                    styled("code", style(false, false, true)),
                    span(",\nnext "),
                    styled("link", link),
                    span("."),
                ]),
                Block::Code { language: "rust".into(), text: "fn a() {}".into() },
                Block::Quote(vec![paragraph("q")]),
                Block::Rule,
            ]
        );
    }

    #[test]
    fn lists_are_nested_tight_or_loose_and_have_boxes() {
        let item = |checked, blocks| Item { checked, blocks };
        let inner = Block::List { first: Some(1), items: vec![item(None, vec![paragraph("c")])] };
        let expected = Block::List {
            first: None,
            items: vec![item(Some(true), vec![paragraph("a")]), item(Some(false), vec![paragraph("b"), inner])],
        };
        assert_eq!(parse("- [x] a\n- [ ] b\n  1. c\n"), [expected]);
        let loose = Block::List { first: None, items: vec![item(None, vec![paragraph("a"), paragraph("b")])] };
        assert_eq!(parse("- a\n\n  b\n"), [loose]);
    }

    #[test]
    fn tables_have_a_head_and_rows() {
        let expected = Block::Table {
            head: vec![vec![span("a")], vec![span("b")]],
            rows: vec![vec![vec![span("1")], vec![span("2")]], vec![vec![span("3")], vec![]]],
            right: vec![1],
        };
        assert_eq!(parse("| a | b |\n|---|--:|\n| 1 | 2 |\n| 3 |\n"), [expected]);
    }

    #[test]
    fn html_is_text_and_an_image_shows_its_description_or_its_address() {
        assert_eq!(parse("<b>x</b> & <img onerror=1>"), [paragraph("<b>x</b> & <img onerror=1>")]);
        assert_eq!(parse("<script>\nalert(1)\n</script>\n"), [paragraph("<script>\nalert(1)\n</script>")]);
        let image = |text: &str| {
            Block::Paragraph(vec![Span {
                text: text.into(),
                style: Style { link: Some("a.png".into()), ..Style::default() },
            }])
        };
        assert_eq!(parse("![cat](a.png)"), [image("cat")]);
        assert_eq!(parse("![](a.png)"), [image("a.png")]);
    }

    #[test]
    fn deep_nesting_is_bounded_and_loses_no_text() {
        for text in [format!("{}x", "> ".repeat(5000)), format!("{}x", "- ".repeat(900))] {
            let blocks = parse(&text);
            let shown = format!("{blocks:?}");
            assert!(
                shown.contains("\"x\"")
                    && shown.matches("Quote").count() + shown.matches("List").count() <= MAX_DEPTH + 1
            );
        }
    }

    #[test]
    fn unclosed_and_empty_texts_are_documents() {
        assert_eq!(parse(""), []);
        assert_eq!(parse("```\nx"), [Block::Code { language: String::new(), text: "x".into() }]);
        assert_eq!(parse("**x"), [paragraph("**x")]);
    }
}
