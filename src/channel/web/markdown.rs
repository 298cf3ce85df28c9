//! The Markdown tree as JSON for the page, which builds elements of it with `createElement` and `textContent`. Links are
//! kept only if they lead to http, https or mailto; an image only if it is a file below `files/`.

use crate::core::markdown::{self, Block, Span};
use serde_json::{Value, json};
use url::Url;

/// The longest text that is parsed; a longer one is shown as it is. In bytes.
const MAX_TEXT: usize = 256 << 10;
/// The endings of images that the page shows.
const IMAGES: [&str; 5] = [".png", ".jpg", ".jpeg", ".gif", ".webp"];

/// The blocks of a text.
pub(super) fn blocks(text: &str) -> Value {
    if text.len() > MAX_TEXT {
        let shown = &text[..text.floor_char_boundary(MAX_TEXT)];
        return json!([{"b": "p", "c": [shown]}, {"b": "p", "c": [format!("… {} bytes more", text.len() - shown.len())]}]);
    }
    all(&markdown::parse(text))
}

fn all(blocks: &[Block]) -> Value {
    blocks.iter().map(block).collect()
}

fn block(block: &Block) -> Value {
    match block {
        Block::Paragraph(spans) => json!({"b": "p", "c": inline(spans)}),
        Block::Heading(level, spans) => json!({"b": "h", "n": level, "c": inline(spans)}),
        Block::Code { language, text } => json!({"b": "code", "lang": language, "text": text}),
        Block::Quote(blocks) => json!({"b": "quote", "c": all(blocks)}),
        Block::List { first, items } => {
            let items: Vec<Value> =
                items.iter().map(|item| json!({"done": item.checked, "c": all(&item.blocks)})).collect();
            json!({"b": "list", "first": first, "items": items})
        }
        Block::Table { head, rows, .. } => {
            let cells = |cells: &[Vec<Span>]| cells.iter().map(|cell| inline(cell)).collect::<Vec<_>>();
            json!({"b": "table", "head": cells(head), "rows": rows.iter().map(|row| cells(row)).collect::<Vec<_>>()})
        }
        Block::Rule => json!({"b": "rule"}),
    }
}

/// The spans: a string, or an object with the names of its styles in `s`.
fn inline(spans: &[Span]) -> Value {
    let span = |span: &Span| {
        let style = &span.style;
        let names = [(style.bold, 'b'), (style.italic, 'i'), (style.strike, 's'), (style.code, 'c')];
        let names: String = names.iter().filter(|(is_on, _)| *is_on).map(|(_, name)| *name).collect();
        let mut value = json!({"t": span.text});
        match style.link.as_deref() {
            Some(path) if is_image(path) => value["img"] = path.into(),
            Some(link) => match link_of(link) {
                Some((url, host)) => (value["a"], value["host"]) = (url.into(), host.into()),
                None => value["dead"] = link.into(),
            },
            None if names.is_empty() => return Value::String(span.text.clone()),
            None => {}
        }
        if !names.is_empty() {
            value["s"] = names.into();
        }
        value
    };
    spans.iter().map(span).collect()
}

/// The destination of a link that may be followed, and its host as text.
fn link_of(link: &str) -> Option<(String, String)> {
    let url = Url::parse(link).ok()?;
    let host = match url.scheme() {
        "http" | "https" => url.host_str()?.to_owned(),
        "mailto" => url.path().to_owned(),
        _ => return None,
    };
    Some((url.to_string(), host))
}

fn is_image(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    path.starts_with("files/") && IMAGES.iter().any(|end| lower.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(markdown: &str) -> String {
        blocks(markdown).to_string()
    }

    #[test]
    fn dangerous_links_and_html_are_text() {
        for bad in [
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](&#106;avascript:alert(1))",
            "[x](java\u{9}script:alert(1))",
            "[x](<javascript:alert(1)>)",
            "[x](data:text/html,x)",
            "[x](vbscript:x)",
            "[x](file:///etc/passwd)",
            "[x](//evil.example)",
            "[x](blob:x)",
        ] {
            assert!(!text_of(bad).contains("\"a\":"), "{bad}: {}", text_of(bad));
        }
        let html = blocks("<img src=x onerror=alert(1)> and </script>");
        assert!(!html.to_string().contains("\"img\""), "{html}");
        assert!(!text_of("![x](https://evil.example/x.png)").contains("\"img\""));
        assert!(!text_of("![x](files/x.svg)").contains("\"img\""));
        assert!(text_of("![x](files/x.png)").contains("\"img\":\"files/x.png\""));
    }

    #[test]
    fn links_show_their_host_and_styles_their_names() {
        let expected = json!([{"b": "p", "c": [
            "a ", {"t": "b", "s": "b"}, " ", {"t": "d", "a": "https://example.org/x", "host": "example.org"}, " ",
            {"t": "e", "s": "c"}
        ]}]);
        assert_eq!(blocks("a **b** [d](https://example.org/x) `e`"), expected);
        assert_eq!(blocks("[bank](https://bank.example@evil.example/)")[0]["c"][0]["host"], "evil.example");
    }

    #[test]
    fn long_text_is_cut() {
        let text = "x".repeat(2 << 20);
        assert!(text_of(&text).len() < 300 << 10);
    }
}
