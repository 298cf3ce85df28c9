//! Data marks: delimiters around text from outside, so that a model can tell data from instructions.

use crate::core::text::base32::base32;
use crate::core::text::cut::cut;

/// `text` between two marks with its `source`. The marks contain `random`, so that the author of the text cannot
/// write a closing mark into it.
#[must_use]
pub fn mark(source: &str, text: &str, random: u64) -> String {
    let mark = format!("data-{}", base32(random, 12));
    format!("<{mark} from=\"{}\">\n{text}\n</{mark}>", source.escape_default())
}

/// The first `limit` bytes of a tool result. If the cut removes a closing mark, the mark is added again: without it
/// the model could not tell the data from the text after it.
#[must_use]
pub fn shorten(result: &str, limit: usize) -> String {
    let shown = cut(result, limit);
    let mark = result.strip_prefix("<data-").and_then(|rest| rest.split_once(' '));
    let closing = mark.map(|(random, _)| format!("</data-{random}>")).filter(|closing| result.ends_with(closing));
    match closing.filter(|closing| !shown.ends_with(closing)) {
        Some(closing) => format!("{shown}\n{closing}"),
        None => shown.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_mark_that_was_cut_off_is_added_again() {
        let whole = mark("https://a", &"x".repeat(100), 7);
        let closing = whole.rsplit_once('\n').unwrap().1;
        let short = shorten(&whole, 60);
        assert!(short.ends_with(&format!("x\n{closing}")) && short.len() < 90, "{short}");
        assert_eq!(shorten(&whole, 999), whole);
        assert_eq!(shorten("<data-x y", 5), "<data");
        assert_eq!(shorten("plain text", 5), "plain");
    }
}
