//! Foreign text for a terminal: control characters, invisible characters and look-alikes as escapes, so that a text shows
//! as it is and cannot move the cursor, recolour or imitate what surrounds it.

use std::ops::RangeInclusive;

/// A run of more spaces than this is shown as its length by [`exact`]: longer ones push text off the screen.
const MOST_SPACES: usize = 8;

/// Escapes control characters. Line breaks, tabs and all visible or joining characters stay.
#[must_use]
pub fn escape_controls(text: &str) -> String {
    escaped(text, |c| c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Escapes control characters and invisible or direction-changing characters. Line breaks and tabs stay.
#[must_use]
pub fn plain(text: &str) -> String {
    escaped(text, |c| is_invisible(c) && !matches!(c, '\n' | '\t'))
}

/// As [`plain`], in one line: line breaks are escaped, too.
#[must_use]
pub fn row(text: &str) -> String {
    plain(text).replace('\n', "\\n")
}

/// A message for stderr: as [`plain`], with its further lines indented, so that none of them looks like a message of its
/// own.
#[must_use]
pub fn message(text: &str) -> String {
    let plain = plain(text);
    let mut lines = plain.split('\n');
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + "\n" + if line.starts_with(' ') { "" } else { "      " } + line)
}

/// JSON with the control characters that JSON itself permits (DEL and the C1 set) as escapes.
#[must_use]
pub fn json(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    replaced(text, |c| c.is_control() && c != '\n', json_escape)
}

/// A text that decides something, in one line, so that it cannot be taken for another one: as [`row`], and tabs, unusual
/// spaces, combining marks, look-alikes of ASCII punctuation, letters that imitate ASCII letters, and the length of long
/// runs of spaces are shown.
#[must_use]
pub fn exact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut spaces = 0;
    for (c, is_suspect) in text.chars().zip(suspects(text)) {
        if c == ' ' {
            spaces += 1;
            continue;
        }
        shown += &run_of(spaces);
        spaces = 0;
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            _ if is_suspect => shown.extend(c.escape_unicode()),
            _ => shown.push(c),
        }
    }
    shown + &run_of(spaces)
}

fn run_of(spaces: usize) -> String {
    if spaces > MOST_SPACES { format!("[{spaces} spaces]") } else { " ".repeat(spaces) }
}

/// JSON in which the characters that [`exact`] shows are JSON escapes: the same value, readable in any editor.
#[must_use]
pub fn exact_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (c, is_suspect) in text.chars().zip(suspects(text)) {
        if is_suspect && c != '\n' { shown += &json_escape(c) } else { shown.push(c) }
    }
    shown
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    replaced(text, is_escaped, |c| c.escape_unicode().to_string())
}

fn replaced(text: &str, is_replaced: impl Fn(char) -> bool, by: impl Fn(char) -> String) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_replaced(c) { shown += &by(c) } else { shown.push(c) }
    }
    shown
}

fn json_escape(c: char) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// For each character, whether it is invisible or imitates another one.
fn suspects(text: &str) -> Vec<bool> {
    let chars: Vec<char> = text.chars().collect();
    let mut suspects: Vec<bool> =
        chars.iter().map(|c| is_invisible(*c) || is_in(*c, DISTORTING) || is_in(*c, IMITATIONS)).collect();
    let mut begin = 0;
    for word in chars.chunk_by(|a, b| a.is_alphanumeric() == b.is_alphanumeric()) {
        let has_ascii = word.iter().any(char::is_ascii_alphabetic);
        // Among other letters of its script, a look-alike is only a letter.
        let is_imitation = has_ascii || word.iter().all(|c| !c.is_alphabetic() || is_in(*c, LOOK_ALIKES));
        for (offset, c) in word.iter().enumerate() {
            suspects[begin + offset] |= is_imitation && is_in(*c, LOOK_ALIKES);
        }
        begin += word.len();
    }
    suspects
}

fn is_in(c: char, set: &[RangeInclusive<u32>]) -> bool {
    !c.is_ascii() && set.iter().any(|range| range.contains(&u32::from(c)))
}

/// Control characters, and those that Unicode calls default-ignorable or that set the direction of text.
fn is_invisible(c: char) -> bool {
    c.is_control() || is_in(c, INVISIBLE)
}

const INVISIBLE: &[RangeInclusive<u32>] = &[
    0xad..=0xad,
    0x34f..=0x34f,
    0x61c..=0x61c,
    0x115f..=0x1160,
    0x17b4..=0x17b5,
    0x180b..=0x180f,
    0x200b..=0x200f,
    0x2028..=0x202e,
    0x2060..=0x206f,
    0x2800..=0x2800,
    0x3164..=0x3164,
    0xfeff..=0xfeff,
    0xffa0..=0xffa0,
    0xfff0..=0xfffb,
    0x1_bca0..=0x1_bca3,
    0x1_d173..=0x1_d17a,
    0xe_0000..=0xe_0fff,
];

/// Marks on the character before, variation selectors, and spaces other than the ASCII one.
const DISTORTING: &[RangeInclusive<u32>] = &[
    0xa0..=0xa0,
    0x300..=0x36f,
    0x1680..=0x1680,
    0x1ab0..=0x1aff,
    0x1dc0..=0x1dff,
    0x2000..=0x200a,
    0x202f..=0x202f,
    0x205f..=0x205f,
    0x20d0..=0x20ff,
    0x3000..=0x3000,
    0xfe00..=0xfe0f,
    0xfe20..=0xfe2f,
];

/// Look-alikes of ASCII punctuation (quotes, dashes, slashes, dots, colons, bars, asterisks, tildes), and whole blocks
/// of letters that exist only in the shape of Latin ones: phonetic, letter-like, Roman, full-width, mathematical,
/// Cherokee, Lisu.
const IMITATIONS: &[RangeInclusive<u32>] = &[
    0xb4..=0xb4,
    0xb7..=0xb8,
    0x131..=0x131,
    0x1c0..=0x1c3,
    0x237..=0x237,
    0x250..=0x2df,
    0x37e..=0x37e,
    0x387..=0x387,
    0x589..=0x58a,
    0x5be..=0x5be,
    0x5c0..=0x5c0,
    0x5c3..=0x5c3,
    0x5f3..=0x5f4,
    0x60c..=0x60d,
    0x66a..=0x66d,
    0x6d4..=0x6d4,
    0x13a0..=0x13fd,
    0x1d00..=0x1d7f,
    0x2010..=0x2015,
    0x2018..=0x201f,
    0x2024..=0x2024,
    0x2032..=0x2037,
    0x2039..=0x203a,
    0x2041..=0x2044,
    0x204e..=0x2053,
    0x2100..=0x214f,
    0x2160..=0x2188,
    0x2212..=0x2212,
    0x2215..=0x2219,
    0x2223..=0x2223,
    0x2236..=0x2236,
    0x223c..=0x223c,
    0x2571..=0x2573,
    0x2768..=0x2775,
    0x29f5..=0x29f9,
    0xa4d0..=0xa4ff,
    0xa789..=0xa78c,
    0xab30..=0xabbf,
    0xfe13..=0xfe14,
    0xfe33..=0xfe34,
    0xfe4d..=0xfe6b,
    0xff01..=0xff5e,
    0xffe8..=0xffe8,
    0x1_d400..=0x1_d7ff,
];

/// Cyrillic, Greek, Armenian and Coptic letters in the shape of an ASCII letter or digit.
const LOOK_ALIKES: &[RangeInclusive<u32>] = &[
    0x37f..=0x37f,
    0x391..=0x392,
    0x395..=0x397,
    0x399..=0x39a,
    0x39c..=0x39d,
    0x39f..=0x39f,
    0x3a1..=0x3a1,
    0x3a4..=0x3a5,
    0x3a7..=0x3a7,
    0x3b1..=0x3b1,
    0x3b3..=0x3b3,
    0x3b7..=0x3b7,
    0x3b9..=0x3ba,
    0x3bd..=0x3bd,
    0x3bf..=0x3bf,
    0x3c1..=0x3c1,
    0x3c3..=0x3c5,
    0x3f1..=0x3f3,
    0x3f9..=0x3fa,
    0x405..=0x406,
    0x408..=0x408,
    0x410..=0x410,
    0x412..=0x412,
    0x415..=0x415,
    0x417..=0x417,
    0x41a..=0x41a,
    0x41c..=0x41e,
    0x420..=0x423,
    0x425..=0x425,
    0x42c..=0x42c,
    0x430..=0x433,
    0x435..=0x435,
    0x437..=0x437,
    0x43a..=0x43a,
    0x43c..=0x43f,
    0x440..=0x443,
    0x445..=0x445,
    0x44c..=0x44c,
    0x455..=0x456,
    0x458..=0x458,
    0x474..=0x475,
    0x4ae..=0x4af,
    0x4ba..=0x4bb,
    0x4c0..=0x4c0,
    0x4cf..=0x4cf,
    0x500..=0x501,
    0x50c..=0x50d,
    0x51a..=0x51d,
    0x53c..=0x53c,
    0x54d..=0x54d,
    0x54f..=0x54f,
    0x555..=0x555,
    0x561..=0x561,
    0x563..=0x563,
    0x566..=0x566,
    0x570..=0x570,
    0x575..=0x575,
    0x578..=0x578,
    0x57d..=0x57d,
    0x581..=0x581,
    0x584..=0x585,
    0x2c80..=0x2cff,
    0x1_0400..=0x1_044f,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_hidden_characters_are_escaped() {
        assert_eq!(plain("a\tb\nä 猫"), "a\tb\nä 猫");
        assert_eq!(plain("rm -rf x\r\x1b[2Kls"), "rm -rf x\\u{d}\\u{1b}[2Kls");
        assert_eq!(plain("a\u{202e}b\u{9b}2K\u{7f}"), "a\\u{202e}b\\u{9b}2K\\u{7f}");
        assert_eq!(row("ls\n\rrm"), "ls\\n\\u{d}rm");
        assert_eq!(message("bad\nclaw: fine\n  more"), "bad\n      claw: fine\n  more");
        assert_eq!(escape_controls("👩\u{200d}🚀\x1b"), "👩\u{200d}🚀\\u{1b}");
    }

    #[test]
    fn every_control_character_is_escaped_everywhere() {
        for c in (0..=0x9f_u32).filter_map(char::from_u32).filter(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            let text = format!("a{c}b");
            for shown in [escape_controls(&text), plain(&text), row(&text), message(&text), exact(&text), json(&text)] {
                assert!(!shown.contains(char::is_control), "{c:?}: {shown:?}");
            }
        }
    }

    #[test]
    fn look_alikes_are_shown() {
        for (text, shown) in [
            ("sh files/j\u{43e}b.sh", "sh files/j\\u{43e}b.sh"),
            ("\u{441}\u{43e}\u{440} x", "\\u{441}\\u{43e}\\u{440} x"),
            ("rm\u{a0}-rf", "rm\\u{a0}-rf"),
            ("rm \u{2010}rf a\u{2215}b", "rm \\u{2010}rf a\\u{2215}b"),
            ("\u{ff52}\u{ff4d} x", "\\u{ff52}\\u{ff4d} x"),
            ("\u{1d42b}m", "\\u{1d42b}m"),
            ("a\u{3164}b\u{ad}c\u{e0041}", "a\\u{3164}b\\u{ad}c\\u{e0041}"),
            ("=\u{338}", "=\\u{338}"),
            ("ls\t\n", "ls\\t\\n"),
        ] {
            assert_eq!(exact(text), shown, "{text:?}");
        }
        for text in ["echo 'grüße, Привет мир, Καλημέρα, 猫'", "python3 -c 'print(1)'", "a  b", ""]
        {
            assert_eq!(exact(text), text);
        }
    }

    #[test]
    fn long_runs_of_spaces_are_counted() {
        assert_eq!(exact(&format!("ls{}; rm x ", " ".repeat(300))), "ls[300 spaces]; rm x ");
        assert_eq!(exact(&" ".repeat(9)), "[9 spaces]");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let value = serde_json::json!({"command": "sh j\u{43e}b \u{202e}\u{1d42b}\u{9b}\u{7f} 猫\n"});
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap_or_default()] {
            for shown in [exact_json(&text), json(&text)] {
                assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).ok().as_ref(), Some(&value));
                assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
            }
            assert!(exact_json(&text).contains("j\\u043eb \\u202e\\ud835\\udc2b") && exact_json(&text).contains('猫'));
        }
    }
}
