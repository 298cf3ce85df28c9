//! The comment after a note: the id of its event, and the source where the note was made of text from outside.

use crate::core::event::id::Id;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use regex::Regex;
use std::sync::LazyLock;

static SOURCE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"<!-- \S+ from:(\S+) -->").ok());

/// The mark of a note: `<!-- ID -->`, or `<!-- ID from:SOURCE -->`.
#[must_use]
pub fn new(id: &Id, source: Option<&str>) -> String {
    let Some(source) = source else { return format!("{}-->", begin(id)) };
    // The source must not end the comment.
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>');
    let source: String = source.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    format!("{}from:{source} -->", begin(id))
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
        assert_eq!(mark, format!("<!-- {id} from:web:https://a.org/x_y_--__-_false -->"));
        assert!(mark.starts_with(&begin(&id)));
        assert_eq!(source_in(&format!("1: - a note {mark}\n")).unwrap(), "web:https://a.org/x_y_--__-_false");
        assert_eq!(source_in(&new(&id, None)), None);
    }
}
