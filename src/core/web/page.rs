//! What a page is, and what of it is worth reading: the readable part of HTML as Markdown, the text of a PDF.
//! It reads what anybody may have written: whoever calls it for a stranger's page does so in a process of its
//! own, which may run out of time, memory or stack.

use crate::core::fault::{Fault, Result};
use crate::core::web::charset;
use dom_query::{Document, NodeRef};
use dom_smoothie::{Config, Readability};
use htmd::HtmlToMarkdown;
use htmd::options::{BulletListMarker, HrStyle, Options};
use url::Url;

/// The deepest tree that is converted; the converters call themselves for every level. Browsers stop at 512.
const DEEP: usize = 200;
/// The most elements among which the readable part is looked for.
const MAX_ELEMENTS: usize = 100_000;
/// A readable part with fewer characters is no sign that the page has one.
const SHORT: usize = 200;
/// What nobody reads, or nobody sees.
const UNSEEN: &str = "script, style, noscript, template, iframe, object, svg, canvas, [hidden], [aria-hidden=true]";

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// HTML, to be made Markdown.
    Html,
    /// PDF, of which the text is taken.
    Pdf,
    /// Text as it is: plain, Markdown, JSON, XML, CSV.
    Text,
}

/// What a content type says; nothing where that must be looked for in the content.
///
/// # Errors
/// `Data` where it is nothing to be read.
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
            let what = format!("it is {}, which is nothing to be read", name.escape_debug());
            return Err(Fault::data(what));
        }
    })
}

/// What the content itself looks like.
///
/// # Errors
/// `Data` where that is nothing to be read.
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
        return Err(Fault::data("it says of no kind what it is, and is no text"));
    }
    Ok(PageKind::Text)
}

/// The label of the encoding in a content type.
#[must_use]
pub fn label(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    })
}

/// The text of a page: of HTML its readable part, or with `is_whole` all of it. `url` is where links start
/// from.
///
/// # Errors
/// `Data` where there is no way to read it.
pub fn text(kind: PageKind, bytes: &[u8], label: Option<&str>, url: &str, is_whole: bool) -> Result<String> {
    match kind {
        PageKind::Text => Ok(printable(&charset::text(bytes, label))),
        PageKind::Html => Ok(printable(&markdown(&charset::text(bytes, label), url, is_whole))),
        PageKind::Pdf => pdf(bytes).map(|text| printable(&text)),
    }
}

/// Without characters that no text has, and that a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

/// The text of a PDF.
#[cfg(feature = "pdf")]
fn pdf(bytes: &[u8]) -> Result<String> {
    let text = pdf_extract::extract_text_from_mem(bytes);
    text.map(|text| tidy(&text)).map_err(|e| Fault::data(format!("this PDF cannot be read: {e}")))
}

#[cfg(not(feature = "pdf"))]
fn pdf(_: &[u8]) -> Result<String> {
    Err(Fault::data("this program reads no PDF"))
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

/// The title and the readable part, where there is one.
fn readable(document: &Document, url: &str) -> Option<(String, String)> {
    let config = Config { max_elements_to_parse: MAX_ELEMENTS, ..Config::default() };
    let base = Url::parse(url).ok().map(|url| url.to_string());
    let mut readability = Readability::new(document.html(), base.as_deref(), Some(config)).ok()?;
    let article = readability.parse().ok().filter(|article| article.length >= SHORT)?;
    Some((article.title, article.content.to_string()))
}

/// Makes links whole, and takes away what is no link to a page.
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

/// Without blank lines in a row.
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

/// Goes through a tree, first to last, without calling itself.
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

/// The bare text of a tree that is too deep for more.
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
    fn a_type_says_what_can_be_read() {
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
    fn content_says_it_where_nobody_else_does() {
        assert_eq!(sniff(b"%PDF-1.7 ..."), Ok(PageKind::Pdf));
        assert_eq!(sniff(b"\n <!DOCTYPE HTML><p>"), Ok(PageKind::Html));
        assert_eq!(sniff(b"a,b\n1,2\n"), Ok(PageKind::Text));
        assert!(sniff(b"\x7fELF\0\0").is_err());
    }

    #[test]
    fn a_page_that_is_all_list_is_told_whole_with_links_that_lead_somewhere() {
        let html = "<html><head><title> Index \n of files</title><style>p{}</style><base href='/pub/'></head><body>\
                    <script>evil()</script><p hidden>unseen</p><ul><li><a href='a.txt'>a</a><li><a href='../b'>b</a>\
                    <li><a href='javascript:x()'>c</a></ul><img src='data:image/png;base64,AAAA' alt=x></body></html>";
        let expected = "# Index of files\n\n- [a](https://example.org/pub/a.txt)\n- [b](https://example.org/b)\n- c";
        assert_eq!(markdown(html, URL, false), expected);
    }

    #[test]
    fn a_page_deeper_than_any_real_one_is_told_as_text() {
        for tag in ["div", "b", "table><tr><td", "blockquote", "ul><li"] {
            let html = format!("{}<p>here", format!("<{tag}>").repeat(3_000));
            assert!(markdown(&html, URL, false).contains("here"), "{tag}");
        }
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(markdown("", URL, false), "");
        assert_eq!(markdown("<script>x</script>", URL, true), "");
    }
}
