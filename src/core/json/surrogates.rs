//! Halves of UTF-16 pairs. A server that cuts a stream between two UTF-16 units sends the halves of one character in
//! two documents, as `"\ud83d"` and `"\ude00"`. A half is no character, so a text holds a mark in its place until the
//! other half is known. A mark is made of noncharacters, which no interchanged text contains (Unicode 16.0, 23.7).

use std::borrow::Cow;

/// Begins the mark of a first half, U+D800 to U+DBFF.
const FIRST: char = '\u{1fffe}';
/// Begins the mark of a second half, U+DC00 to U+DFFF.
const SECOND: char = '\u{1ffff}';
/// The first of the 32 noncharacters that are the two digits of a mark.
const DIGIT: u32 = 0xfdd0;

/// The mark of a half; `None` for a unit that is not one.
#[must_use]
pub fn mark(unit: u16) -> Option<String> {
    let begin = match unit {
        0xd800..0xdc00 => FIRST,
        0xdc00..0xe000 => SECOND,
        _ => return None,
    };
    let digit = |n: u16| char::from_u32(DIGIT + u32::from(n & 31));
    Some([Some(begin), digit(unit >> 5), digit(unit)].into_iter().flatten().collect())
}

/// The ten bits of the half whose mark begins `text` with `begin`, and the text after it.
fn half(text: &str, begin: char) -> Option<(u32, &str)> {
    let mut chars = text.strip_prefix(begin)?.chars();
    let mut digit = || u32::from(chars.next()?).checked_sub(DIGIT).filter(|digit| *digit < 32);
    let bits = digit()? << 5 | digit()?;
    Some((bits, chars.as_str()))
}

/// The text with joined halves; a half without the other one is U+FFFD.
#[must_use]
pub fn resolve(text: &str) -> Cow<'_, str> {
    let Some(mut at) = text.find([FIRST, SECOND]) else { return Cow::Borrowed(text) };
    let (mut whole, mut rest) = (String::with_capacity(text.len()), text);
    loop {
        whole += &rest[..at];
        rest = &rest[at..];
        if let Some((first, after)) = half(rest, FIRST) {
            let pair = half(after, SECOND);
            let joined = pair.and_then(|(second, _)| char::from_u32(0x1_0000 + (first << 10 | second)));
            whole.push(joined.unwrap_or(char::REPLACEMENT_CHARACTER));
            rest = pair.map_or(after, |(_, after)| after);
        } else if let Some((_, after)) = half(rest, SECOND) {
            whole.push(char::REPLACEMENT_CHARACTER);
            rest = after;
        } else {
            let mut chars = rest.chars();
            whole.extend(chars.next());
            rest = chars.as_str();
        }
        match rest.find([FIRST, SECOND]) {
            Some(next) => at = next,
            None => return Cow::Owned(whole + rest),
        }
    }
}

/// Splits off a first half at the end of `text`, whose other half may follow.
#[must_use]
pub fn split_open(text: &str) -> (&str, &str) {
    let last = text.rfind(FIRST).filter(|at| half(&text[*at..], FIRST).is_some_and(|(_, after)| after.is_empty()));
    text.split_at(last.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_joined_and_lone_ones_are_replaced() {
        let [first, second] = [0xd83d, 0xde00].map(|unit| mark(unit).unwrap());
        assert_eq!(resolve(&format!("a{first}{second}b")), "a😀b");
        assert_eq!(resolve(&format!("{first}x{second}")), "\u{fffd}x\u{fffd}");
        assert_eq!(resolve(&format!("{first}{first}{second}{second}")), "\u{fffd}😀\u{fffd}");
        assert!(matches!(resolve("plain 😀"), Cow::Borrowed("plain 😀")));
        assert_eq!(resolve("\u{1fffe}x"), "\u{1fffe}x", "a noncharacter that is no mark");
        assert_eq!((mark(0x41), mark(0xe000)), (None, None));
    }

    #[test]
    fn every_pair_is_joined() {
        for c in ['\u{10000}', '\u{1f600}', '\u{10fffd}', '\u{103ff}', '\u{10400}'] {
            let mut units = [0; 2];
            c.encode_utf16(&mut units);
            let marks: String = units.iter().filter_map(|unit| mark(*unit)).collect();
            assert_eq!(resolve(&marks), c.to_string());
        }
    }

    #[test]
    fn open_half_is_split_off_the_end() {
        let first = mark(0xd83d).unwrap();
        assert_eq!(split_open(&format!("ab{first}")), ("ab", &first[..]));
        assert_eq!(split_open(&format!("{first}ab")).1, "");
        assert_eq!(split_open("ab"), ("ab", ""));
    }
}
