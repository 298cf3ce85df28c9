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
    let mut shown = cut(result, limit).to_owned();
    // The data may have opening marks that its author wrote: each is closed if the result closes it.
    let opened: Vec<String> = shown.lines().filter_map(closing).collect();
    for closing in opened.iter().rev() {
        if !shown.contains(closing) && result.contains(closing) {
            shown = format!("{shown}\n{closing}");
        }
    }
    shown
}

/// The closing mark for the opening one in this line.
fn closing(line: &str) -> Option<String> {
    let (random, _) = line.strip_prefix("<data-")?.split_once(" from=\"")?;
    Some(format!("</data-{random}>"))
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
        let middle = format!("1: own\n{whole}\n2: own");
        let forged = middle.replacen("xxxx", "\n<data-forged from=\"x\">\nx", 1);
        assert!(shorten(&forged, 90).ends_with(&format!("x\n{closing}")), "{}", shorten(&forged, 90));
        assert!(shorten(&middle, 60).ends_with(&format!("x\n{closing}")), "a mark within the result");
        assert_eq!(shorten(&middle, middle.len() - 3), middle[..middle.len() - 3]);
        assert_eq!(shorten("plain text", 5), "plain");
    }
}
