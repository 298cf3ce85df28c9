//! How many tokens a text is about. Only its provider knows; until it has said, this is near enough to
//! compare with: four letters of a script with an alphabet, or one character of the wide scripts.

/// The estimate, rounded up.
#[must_use]
pub fn estimate(text: &str) -> usize {
    let quarters = text.chars().map(|c| match u32::from(c) {
        0..0x80 => 1,
        0x80..0x2e80 => 2,
        _ => 4,
    });
    quarters.sum::<usize>().div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_grows_with_the_text_and_knows_scripts() {
        assert_eq!(estimate(""), 0);
        assert_eq!(estimate("word"), 1);
        assert_eq!(estimate("words"), 2);
        assert_eq!(estimate("слово"), 3);
        assert_eq!(estimate("名前"), 2);
    }
}
