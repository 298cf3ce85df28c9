//! The codes of pairings: 8 characters without those that look alike.

/// The characters: no 0, O, 1 and I.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// The length.
const LENGTH: usize = 8;

/// The code of these random bits; 40 of them count.
#[must_use]
pub fn of(random: u64) -> String {
    (0..LENGTH).map(|n| char::from(ALPHABET[usize::try_from((random >> (5 * n)) & 31).unwrap_or_default()])).collect()
}

/// The code that a message consists of, alone or after `/start` (the text of Telegram's links).
#[must_use]
pub fn in_text(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix("/start").filter(|rest| rest.starts_with(char::is_whitespace)).unwrap_or(text).trim();
    let code = text.to_ascii_uppercase();
    (code.len() == LENGTH && code.bytes().all(|byte| ALPHABET.contains(&byte))).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_in_a_message_that_has_nothing_else() {
        let code = of(0x0123_4567_89ab_cdef);
        assert_eq!(code.len(), LENGTH);
        for text in [code.clone(), format!(" {}\n", code.to_lowercase()), format!("/start {code}")] {
            assert_eq!(in_text(&text).as_ref(), Some(&code), "{text:?}");
        }
        for text in
            ["", "/start", "ABCDEFG", "ABCDEFGHJ", "ABCDEFG0", "my code is ABCDEFGH", "/startABCDEFGH", "éBCDEFG"]
        {
            assert_eq!(in_text(text), None, "{text:?}");
        }
    }
}
