//! An answer's Markdown as Telegram's text and entities. Offsets and lengths count UTF-16 units. No parse mode is used,
//! so that no text can be refused for its marks. Source: core.telegram.org/bots/api#messageentity.

use crate::core::markdown::{Block, Cell, Item, Span, Style, parse, plain};
use serde_json::{Value, json};

/// The longest text of a message, in UTF-16 units.
pub(super) const MAX_UNITS: usize = 4096;
/// The most entities of a message.
pub(super) const MAX_ENTITIES: usize = 100;

/// A text with its entities.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rendered {
    pub(super) text: String,
    pub(super) entities: Vec<Value>,
}

impl Rendered {
    /// Whether Telegram accepts it as one message, with this many units before it.
    pub(super) fn fits(&self, before: usize) -> bool {
        before + units(&self.text) <= MAX_UNITS && self.entities.len() <= MAX_ENTITIES
    }

    /// The same behind a line of plain text.
    pub(super) fn behind(mut self, line: &str) -> Self {
        let added = units(line) + 1;
        for entity in &mut self.entities {
            if let Some(offset) = entity["offset"].as_u64() {
                entity["offset"] = json!(offset + added as u64);
            }
        }
        self.text = format!("{line}\n{}", self.text);
        self
    }
}

/// Renders Markdown. A text of which nothing is visible is shown as it is written.
pub(super) fn render(markdown: &str) -> Rendered {
    let mut renderer = Renderer::default();
    renderer.blocks(&parse(markdown), &mut Indent::default(), false);
    let mut rendered = renderer.out;
    // Telegram cuts white space off the end, and entities must not reach into it.
    let length = rendered.text.trim_end().len();
    rendered.text.truncate(length);
    let most = units(&rendered.text);
    rendered.entities.retain_mut(|entity| trim(entity, most));
    if rendered.text.is_empty() {
        return Rendered { text: markdown.trim().to_owned(), entities: Vec::new() };
    }
    rendered
}

pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Shortens an entity to the end of the text; false if nothing of it is left.
fn trim(entity: &mut Value, most: usize) -> bool {
    let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    let (offset, length) = (number(&entity["offset"]), number(&entity["length"]));
    let length = length.min(most.saturating_sub(offset));
    entity["length"] = json!(length);
    length > 0
}

/// The text before each line of nested lists.
#[derive(Default)]
struct Indent(String);

#[derive(Default)]
struct Renderer {
    out: Rendered,
    /// The length of the text, in UTF-16 units.
    at: usize,
}

impl Renderer {
    fn push(&mut self, text: &str) {
        self.out.text.push_str(text);
        self.at += units(text);
    }

    fn entity(&mut self, kind: &str, from: usize, more: &[(&str, &str)]) {
        if self.at > from {
            let mut entity = json!({"type": kind, "offset": from, "length": self.at - from});
            more.iter().for_each(|(key, value)| entity[*key] = json!(value));
            self.out.entities.push(entity);
        }
    }

    fn blocks(&mut self, blocks: &[Block], indent: &mut Indent, is_tight: bool) {
        for (n, block) in blocks.iter().enumerate() {
            if n > 0 {
                self.push(if is_tight { "\n" } else { "\n\n" });
                let before = indent.0.clone();
                self.push(&before);
            }
            self.block(block, indent);
        }
    }

    fn block(&mut self, block: &Block, indent: &mut Indent) {
        match block {
            Block::Paragraph(spans) => self.spans(spans, &indent.0),
            Block::Heading(_, spans) => {
                let from = self.at;
                self.spans(spans, &indent.0);
                self.entity("bold", from, &[]);
            }
            Block::Code { language, text } => {
                let from = self.at;
                self.push(text);
                let language = [("language", language.as_str())];
                self.entity("pre", from, if language[0].1.is_empty() { &[] } else { &language });
            }
            Block::Quote(blocks) => {
                let from = self.at;
                self.blocks(blocks, indent, false);
                // Telegram has no quotation within another one, and none in a list's line.
                let is_nested = self
                    .out
                    .entities
                    .iter()
                    .any(|e| e["type"] == "blockquote" && e["offset"].as_u64() >= Some(from as u64));
                if !is_nested {
                    self.entity("blockquote", from, &[]);
                }
            }
            Block::List { first, items } => self.list(*first, items, indent),
            Block::Table { head, rows } => self.table(head, rows),
            Block::Rule => self.push("———"),
        }
    }

    fn list(&mut self, first: Option<u64>, items: &[Item], indent: &mut Indent) {
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                self.push("\n");
                let before = indent.0.clone();
                self.push(&before);
            }
            let mark = match (item.checked, first) {
                (Some(true), _) => "☑ ".to_owned(),
                (Some(false), _) => "☐ ".to_owned(),
                (None, Some(first)) => format!("{}. ", first.saturating_add(n as u64)),
                (None, None) => "• ".to_owned(),
            };
            self.push(&mark);
            let length = indent.0.len();
            indent.0.push_str("  ");
            self.blocks(&item.blocks, indent, true);
            indent.0.truncate(length);
        }
    }

    /// A table is text of fixed width, its columns aligned.
    fn table(&mut self, head: &[Cell], rows: &[Vec<Cell>]) {
        let texts = |row: &[Cell]| -> Vec<String> { row.iter().map(|cell| plain(cell).replace('\n', " ")).collect() };
        let all: Vec<Vec<String>> = std::iter::once(texts(head)).chain(rows.iter().map(|row| texts(row))).collect();
        let columns = all.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| all.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        let line = |row: &Vec<String>| {
            let cells = widths.iter().enumerate().map(|(n, width)| {
                let text = row.get(n).map_or("", String::as_str);
                format!("{text}{}", " ".repeat(width.saturating_sub(text.chars().count())))
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let rule: String = widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("  ");
        let mut lines: Vec<String> = all.iter().map(line).collect();
        lines.insert(1.min(lines.len()), rule);
        let from = self.at;
        self.push(&lines.join("\n"));
        self.entity("pre", from, &[]);
    }

    fn spans(&mut self, spans: &[Span], indent: &str) {
        for span in spans {
            let from = self.at;
            self.push(&span.text.replace('\n', &format!("\n{indent}")));
            self.style(&span.style, from, &span.text);
        }
    }

    fn style(&mut self, style: &Style, from: usize, text: &str) {
        // Code has no other style within.
        if style.code {
            self.entity("code", from, &[]);
            return;
        }
        for (is_set, kind) in [(style.bold, "bold"), (style.italic, "italic"), (style.strike, "strikethrough")] {
            if is_set {
                self.entity(kind, from, &[]);
            }
        }
        match style.link.as_deref().filter(|link| *link != text && link.strip_prefix("mailto:") != Some(text)) {
            Some(link) if is_web(link) => self.entity("text_link", from, &[("url", link)]),
            // The reader sees where a link leads that Telegram would not accept.
            Some(link) => self.push(&format!(" ({link})")),
            None => {}
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
    use proptest::prelude::*;

    fn entity(kind: &str, offset: usize, length: usize) -> Value {
        json!({"type": kind, "offset": offset, "length": length})
    }

    /// The rule that Telegram's server applies to every entity.
    fn check(rendered: &Rendered) {
        let text: Vec<u16> = rendered.text.encode_utf16().collect();
        for entity in &rendered.entities {
            let number = |key: &str| usize::try_from(entity[key].as_u64().unwrap()).unwrap();
            let (from, to) = (number("offset"), number("offset") + number("length"));
            assert!(from < to && to <= text.len(), "{entity} in {:?}", rendered.text);
            assert!(String::from_utf16(&text[from..to]).is_ok(), "half a character: {entity}");
        }
    }

    #[test]
    fn styles_are_entities_that_count_utf_16_units() {
        let rendered = render("# Hi 🥒\n\n**bold *both*** `code` [a](https://b.c/) ~~x~~\n\n```rs\nfn\n```");
        assert_eq!(rendered.text, "Hi 🥒\n\nbold both code a x\n\nfn");
        let mut link = entity("text_link", 22, 1);
        link["url"] = json!("https://b.c/");
        let mut pre = entity("pre", 27, 2);
        pre["language"] = json!("rs");
        assert_eq!(
            rendered.entities,
            [
                entity("bold", 0, 5),
                entity("bold", 7, 5),
                entity("bold", 12, 4),
                entity("italic", 12, 4),
                entity("code", 17, 4),
                link,
                entity("strikethrough", 24, 1),
                pre,
            ]
        );
        check(&rendered);
    }

    #[test]
    fn lists_tables_quotes_and_rules_are_readable_text() {
        let text = render("- a\n- b\n  1. c\n  2. d\n- [x] e\n\n> q\n\n| a | bc |\n|---|---|\n| 123 | 4 |\n\n---").text;
        assert_eq!(text, "• a\n• b\n  1. c\n  2. d\n☑ e\n\nq\n\na    bc\n───  ──\n123  4\n\n———");
    }

    #[test]
    fn link_that_telegram_refuses_is_shown() {
        let rendered = render("[x](javascript:alert) and <https://a.b/c> and ![](cat.png)");
        assert_eq!(rendered.text, "x (javascript:alert) and https://a.b/c and cat.png");
        assert_eq!(rendered.entities, [Value::Null; 0]);
        assert_eq!(render("[a]: https://b.c\n").text, "[a]: https://b.c", "nothing would be visible");
        assert_eq!(render("<b>html</b> &amp; _x").text, "<b>html</b> & _x");
    }

    #[test]
    fn line_before_a_text_moves_its_entities() {
        let rendered = render("**a**").behind("🥒:");
        assert_eq!((rendered.text.as_str(), &rendered.entities[0]), ("🥒:\na", &entity("bold", 4, 1)));
        assert!(rendered.fits(0) && !rendered.fits(MAX_UNITS));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn every_text_renders_to_valid_entities(text in "([a-z*_`~#>|\\[\\]()!<& \n-]|\\*\\*|```|🥒|é|1\\. |- ){0,80}") {
            let rendered = render(&text);
            check(&rendered);
            prop_assert!(text.trim().is_empty() || !rendered.text.is_empty());
            // No word is lost.
            let shown: String = rendered.text.chars().filter(|c| c.is_alphabetic()).collect();
            let fenced = text.contains("```") || text.contains('[') || text.contains('~');
            let wanted: String = text.chars().filter(|c| c.is_alphabetic()).collect();
            prop_assert!(fenced || shown == wanted, "{shown:?} {wanted:?}");
        }
    }
}
