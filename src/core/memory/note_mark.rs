//! The comment after a note: the id of its event, and the source where the note was made of text from outside.

use crate::core::event::id::Id;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use regex::Regex;
use std::sync::LazyLock;

static SOURCE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"<!-- \S+ from:(\S+) -->").ok());

/// The mark of a note: `<!-- ID -->`, or `<!-- ID from:SOURCE -->`. Of a web page the mark names the host.
#[must_use]
pub fn new(id: &Id, source: Option<&str>) -> String {
    let Some(source) = source else { return format!("{}-->", begin(id)) };
    // The source must not end the comment.
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>');
    let source: String = shortened(source).chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    format!("{}from:{source} -->", begin(id))
}

/// A source without the path and the query of its URL, which its author chose.
fn shortened(source: &str) -> String {
    let Some((kind, address)) = source.split_once(':').filter(|(_, address)| address.contains("://")) else {
        return source.to_owned();
    };
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{kind}:{}", if host.is_empty() { "unknown" } else { host })
}

/// The lines of a text with this mark behind each of them, so that programs that look at single lines see it too.
#[must_use]
pub fn on_each_line(text: &str, mark: &str) -> String {
    let marked = |line: &str| if line.trim().is_empty() { line.to_owned() } else { format!("{line} {mark}") };
    text.split('\n').map(marked).collect::<Vec<_>>().join("\n")
}

/// The text with the delimiters of comments made harmless, so that it cannot have or end a mark.
#[must_use]
pub fn without_comments(text: &str) -> String {
    text.replace("<!--", "<! --").replace("-->", "-- >")
}

/// The beginning of every mark of this event's note.
#[must_use]
pub fn begin(id: &Id) -> String {
    format!("<!-- {id} ")
}

/// The source in the first mark of `text` that has one.
#[must_use]
pub fn source_in(text: &str) -> Option<String> {
    let found = SOURCE.as_ref()?.captures(text)?;
    Some(found.get(1)?.as_str().to_owned())
}

/// Whether a comment is the mark of a note.
#[must_use]
pub fn is_mark(comment: &str) -> bool {
    let inner = comment.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix("-->"));
    let words: Vec<&str> = inner.unwrap_or_default().split_whitespace().collect();
    match words[..] {
        [id] => Id::parse(id).is_ok(),
        [id, source] => Id::parse(id).is_ok() && source.starts_with("from:"),
        _ => false,
    }
}

/// The day (UTC) on which the note of the first mark in `text` was made.
#[must_use]
pub fn day_in(text: &str) -> Option<Date> {
    let mark = text.split_once("<!-- ")?.1.split(' ').next()?;
    Some(Id::parse(mark).ok()?.stamp().timestamp().to_zoned(TimeZone::UTC).date())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::stamp::Stamp;

    #[test]
    fn mark_names_the_source_and_cannot_be_left() {
        let id = Id::new(Stamp(0), 7);
        assert_eq!(new(&id, None), format!("<!-- {id} -->"));
        let mark = new(&id, Some("web:https://a.org/x y --> - false"));
        assert_eq!(mark, format!("<!-- {id} from:web:a.org -->"));
        assert!(mark.starts_with(&begin(&id)));
        assert_eq!(source_in(&format!("1: - a note {mark}\n")).unwrap(), "web:a.org");
        let mark = new(&id, Some("file:/tmp/x y --> - false"));
        assert_eq!(source_in(&mark).unwrap(), "file:/tmp/x_y_--__-_false");
        for (source, shown) in
            [("web:https://a@b.org:80?x", "web:b.org:80"), ("web:x://", "web:unknown"), ("telegram:77", "telegram:77")]
        {
            assert_eq!(source_in(&new(&id, Some(source))).unwrap(), shown);
        }
        assert_eq!(source_in(&new(&id, None)), None);
        assert!(is_mark(&mark) && is_mark(&new(&id, None)) && !is_mark("<!-- x -->") && !is_mark(""));
        assert_eq!(without_comments("a <!-- 1 from:x --> b"), "a <! -- 1 from:x -- > b");
        assert_eq!(on_each_line("a\n\n  b", "<!-- x -->"), "a <!-- x -->\n\n  b <!-- x -->");
    }
}
