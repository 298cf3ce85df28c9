//! Converting a page to text: the readable part of HTML as Markdown, the text of a PDF. The input is untrusted: callers
//! run this in a separate process, which may run out of time, memory or stack.

use crate::core::fault::{Fault, Result};
use crate::core::web::charset;
use dom_query::{Document, NodeRef};
use dom_smoothie::{Config, Readability};
use htmd::HtmlToMarkdown;
use htmd::options::{BulletListMarker, HrStyle, Options};
use url::Url;

/// The deepest tree that is converted, because the converters are recursive. Browsers stop at 512.
const DEEP: usize = 200;
/// The largest number of elements that are searched for the readable part.
const MAX_ELEMENTS: usize = 100_000;
/// The minimum length of a readable part, in characters; a shorter one is probably not the page's content.
const SHORT: usize = 200;
/// Elements that are not visible.
const UNSEEN: &str = "script, style, noscript, template, iframe, object, svg, canvas, [hidden], [aria-hidden=true]";

/// The kinds of content that can be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// HTML, converted to Markdown.
    Html,
    /// PDF, of which the text is extracted.
    Pdf,
    /// Text, returned unchanged: plain, Markdown, JSON, XML, CSV.
    Text,
}

/// The kind for a content type; `None` if the content itself must be examined with [`sniff`].
///
/// # Errors
/// `Data` if the content type cannot be converted to text.
pub fn kind(content_type: &str) -> Result<Option<PageKind>> {
    let name = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (top, sub) = name.split_once('/').unwrap_or((&name, ""));
    Ok(match (top, sub) {
        ("text", "html") | ("application", "xhtml+xml") => Some(PageKind::Html),
        ("application" | "text", "pdf" | "x-pdf") => Some(PageKind::Pdf),
        ("text", _) => Some(PageKind::Text),
        ("application", "json" | "xml" | "yaml" | "x-yaml" | "javascript" | "toml" | "x-ndjson" | "rtf" | "x-sh") => {
            Some(PageKind::Text)
        }
        (_, sub) if sub.ends_with("+json") || sub.ends_with("+xml") && top != "image" => Some(PageKind::Text),
        ("", _) | ("application" | "binary", "octet-stream") | ("application", "unknown") => None,
        _ => {
            return Err(Fault::data(format!("content type {} cannot be read as text", name.escape_debug())));
        }
    })
}

/// The kind recognised from the first bytes of the content.
///
/// # Errors
/// `Data` if the content is binary.
pub fn sniff(bytes: &[u8]) -> Result<PageKind> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).to_ascii_lowercase();
    let head = head.trim_start_matches('\u{feff}').trim_start();
    if head.starts_with("%pdf-") {
        return Ok(PageKind::Pdf);
    }
    if ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| head.starts_with(tag)) {
        return Ok(PageKind::Html);
    }
    if bytes.contains(&0) && encoding_rs::Encoding::for_bom(bytes).is_none() {
        return Err(Fault::data("the content is binary, and its type is unknown"));
    }
    Ok(PageKind::Text)
}

/// The label of the encoding (`charset=`) in a content type.
#[must_use]
pub fn label(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    })
}

/// The text of a page: of HTML the readable part, or with `is_whole` all of it. `url` is the base of relative links.
///
/// # Errors
/// `Data` if it cannot be converted.
pub fn text(kind: PageKind, bytes: &[u8], label: Option<&str>, url: &str, is_whole: bool) -> Result<String> {
    match kind {
        PageKind::Text => Ok(printable(&charset::text(bytes, label))),
        PageKind::Html => Ok(printable(&markdown(&charset::text(bytes, label), url, is_whole))),
        PageKind::Pdf => pdf(bytes).map(|text| printable(&text)),
    }
}

/// Removes control characters, which a terminal would interpret.
fn printable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

/// The text of a PDF.
#[cfg(feature = "pdf")]
fn pdf(bytes: &[u8]) -> Result<String> {
    let text = pdf_extract::extract_text_from_mem(bytes);
    text.map(|text| tidy(&text)).map_err(|e| Fault::data(format!("the PDF cannot be read: {e}")))
}

#[cfg(not(feature = "pdf"))]
fn pdf(_: &[u8]) -> Result<String> {
    Err(Fault::data("PDF is not supported: the program was built without the feature pdf"))
}

/// HTML as Markdown.
#[must_use]
pub fn markdown(html: &str, url: &str, is_whole: bool) -> String {
    let document = Document::from(html);
    if depth(&document) > DEEP {
        return tidy(&plain(&document));
    }
    let title = document.select("title").text().split_whitespace().collect::<Vec<_>>().join(" ");
    resolve(&document, url);
    if !is_whole && let Some((title, content)) = readable(&document, url) {
        return titled(&title, &converted(&content));
    }
    document.select(UNSEEN).remove();
    titled(&title, &converted(&document.html()))
}

/// The title and the readable part, if one is found.
fn readable(document: &Document, url: &str) -> Option<(String, String)> {
    let config = Config { max_elements_to_parse: MAX_ELEMENTS, ..Config::default() };
    let base = Url::parse(url).ok().map(|url| url.to_string());
    let mut readability = Readability::new(document.html(), base.as_deref(), Some(config)).ok()?;
    let article = readability.parse().ok().filter(|article| article.length >= SHORT)?;
    Some((article.title, article.content.to_string()))
}

/// Makes links absolute, and removes links of other schemes than http, https and mailto.
fn resolve(document: &Document, url: &str) {
    let Ok(page) = Url::parse(url) else { return };
    let base = document.base_uri().and_then(|base| page.join(&base).ok()).unwrap_or(page);
    for (selector, key) in [("a[href]", "href"), ("img[src]", "src")] {
        for node in document.select(selector).nodes() {
            match node.attr(key).and_then(|to| base.join(&to).ok()) {
                Some(to) if matches!(to.scheme(), "http" | "https" | "mailto") => node.set_attr(key, to.as_str()),
                _ => node.remove_attr(key),
            }
        }
    }
    document.select("img:not([src])").remove();
}

fn converted(html: &str) -> String {
    let options = Options {
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        bullet_list_marker: BulletListMarker::Dash,
        hr_style: HrStyle::Dashes,
        ..Options::default()
    };
    let skipped = vec!["script", "style", "head", "title", "noscript", "template", "iframe", "svg"];
    let converter = HtmlToMarkdown::builder().options(options).skip_tags(skipped).build();
    converter.convert(html).unwrap_or_default()
}

fn titled(title: &str, text: &str) -> String {
    let text = tidy(text);
    let first = text.lines().next().unwrap_or_default().trim_start_matches('#').trim();
    if title.is_empty() || first == title { text } else { format!("# {title}\n\n{text}").trim_end().to_owned() }
}

/// Collapses consecutive blank lines.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut blank = 1;
    for line in text.lines() {
        let line = line.trim_end();
        blank = if line.is_empty() { blank + 1 } else { 0 };
        if blank < 2 {
            tidy.push_str(line);
            tidy.push('\n');
        }
    }
    tidy.trim_end().to_owned()
}

/// Visits a tree in document order, without recursion.
fn walk<'a>(root: NodeRef<'a>, mut enter: impl FnMut(&NodeRef<'a>, usize)) {
    let (mut node, mut level) = (root, 0);
    loop {
        enter(&node, level);
        if let Some(child) = node.first_child() {
            (node, level) = (child, level + 1);
            continue;
        }
        loop {
            if level == 0 {
                return;
            }
            if let Some(next) = node.next_sibling() {
                node = next;
                break;
            }
            let Some(parent) = node.parent() else { return };
            (node, level) = (parent, level - 1);
        }
    }
}

fn depth(document: &Document) -> usize {
    let mut deepest = 0;
    walk(document.root(), |_, level| deepest = deepest.max(level));
    deepest
}

/// The text nodes of a tree that is too deep to convert.
fn plain(document: &Document) -> String {
    document.select(UNSEEN).remove();
    let mut text = String::new();
    walk(document.root(), |node, _| {
        if node.is_text() {
            text.push_str(&node.text());
            text.push('\n');
        }
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://example.org/news/today";

    #[test]
    fn content_type_determines_the_kind() {
        let read = |text: &str| kind(text).ok();
        assert_eq!(read("text/html; charset=utf-8"), Some(Some(PageKind::Html)));
        assert_eq!(read("Application/XHTML+XML"), Some(Some(PageKind::Html)));
        assert_eq!(read("application/pdf"), Some(Some(PageKind::Pdf)));
        for text in ["text/plain", "text/markdown", "application/json", "application/ld+json", "application/atom+xml"] {
            assert_eq!(read(text), Some(Some(PageKind::Text)), "{text}");
        }
        assert_eq!(read(""), Some(None));
        assert_eq!(read("application/octet-stream"), Some(None));
        for text in ["image/png", "image/svg+xml", "video/mp4", "application/zip", "font/woff2", "nonsense"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(label("text/html; Charset=\"Shift_JIS\"; x=y"), Some("Shift_JIS"));
        assert_eq!(label("text/html"), None);
    }

    #[test]
    fn kind_is_recognised_from_the_content() {
        assert_eq!(sniff(b"%PDF-1.7 ..."), Ok(PageKind::Pdf));
        assert_eq!(sniff(b"\n <!DOCTYPE HTML><p>"), Ok(PageKind::Html));
        assert_eq!(sniff(b"a,b\n1,2\n"), Ok(PageKind::Text));
        assert!(sniff(b"\x7fELF\0\0").is_err());
    }

    #[test]
    fn page_without_a_readable_part_is_converted_whole_with_absolute_links() {
        let html = "<html><head><title> Index \n of files</title><style>p{}</style><base href='/pub/'></head><body>\
                    <script>evil()</script><p hidden>unseen</p><ul><li><a href='a.txt'>a</a><li><a href='../b'>b</a>\
                    <li><a href='javascript:x()'>c</a></ul><img src='data:image/png;base64,AAAA' alt=x></body></html>";
        let expected = "# Index of files\n\n- [a](https://example.org/pub/a.txt)\n- [b](https://example.org/b)\n- c";
        assert_eq!(markdown(html, URL, false), expected);
    }

    #[test]
    fn too_deep_page_becomes_plain_text() {
        for tag in ["div", "b", "table><tr><td", "blockquote", "ul><li"] {
            let html = format!("{}<p>here", format!("<{tag}>").repeat(3_000));
            assert!(markdown(&html, URL, false).contains("here"), "{tag}");
        }
    }

    /// A terminal would obey them, and a log would show a different line.
    #[test]
    fn control_characters_of_a_page_are_removed_whatever_its_kind() {
        let evil = "a\u{1b}[2Jb\u{7}\u{8}\rc\u{9b}31md\u{0}\te\n\nf\u{7f}";
        assert_eq!(text(PageKind::Text, evil.as_bytes(), None, URL, false).unwrap(), "a[2Jbc31md\te\n\nf");
        let html = format!("<pre>{evil}</pre>");
        for is_whole in [false, true] {
            let text = text(PageKind::Html, html.as_bytes(), None, URL, is_whole).unwrap();
            assert!(!text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{text:?}");
            assert!(text.contains("a[2Jb") && text.contains('f'), "{text:?}");
        }
    }

    #[test]
    fn empty_page_is_empty_text() {
        assert_eq!(markdown("", URL, false), "");
        assert_eq!(markdown("<script>x</script>", URL, true), "");
    }
}
