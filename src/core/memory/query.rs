//! The words of a query, and which words of a text they match: the same word, an inflection of it, or a word that begins
//! with it. Scripts without spaces match by pairs of characters.

use crate::core::config::languages;
use rust_stemmers::Stemmer;
use std::collections::HashMap;
use unicode_normalization::{UnicodeNormalization, is_nfc_quick};

/// The most words of a query; later ones do not count.
pub const MAX_WORDS: usize = 32;
/// The shortest word of a query that also matches longer words, in characters.
const MIN_PREFIX: usize = 3;
/// The most distinct words of a text whose matches are remembered.
const MAX_KNOWN: usize = 1 << 14;

/// Stop words: they are ignored unless the query consists of nothing else. In other languages frequent words get little
/// weight because they are frequent.
const STOP: &[&str] = &[
    "a", "an", "and", "are", "at", "be", "can", "did", "do", "does", "for", "from", "has", "have", "how", "i", "in",
    "is", "it", "its", "know", "me", "my", "of", "on", "or", "our", "s", "tell", "that", "the", "their", "there",
    "this", "to", "was", "were", "what", "when", "where", "which", "who", "whose", "why", "with", "you", "your",
];

/// A word of a query.
struct QueryWord {
    text: String,
    stems: Vec<String>,
    /// A pair of characters of a script without spaces; it matches only itself.
    is_wide: bool,
}

/// A query, and the words that were compared with it.
pub struct Query {
    words: Vec<QueryWord>,
    /// The whole query in the form of [`fold`], without surrounding space.
    pub whole: String,
    /// The whole query as it was typed.
    pub typed: String,
    stemmers: Vec<Stemmer>,
    /// By the first byte of a word: whether it can match at all.
    firsts: [bool; 256],
    known: HashMap<Box<str>, u32>,
}

impl Query {
    /// A query with the stemmers of these languages; codes without a stemmer are ignored.
    #[must_use]
    pub fn new(text: &str, languages: &[String]) -> Self {
        let stemmers: Vec<Stemmer> = languages.iter().filter_map(|code| languages::stemmer(code)).collect();
        let whole = fold(text.trim());
        let mut all: Vec<(String, bool)> = Vec::new();
        each_word(&whole, |word, is_wide| {
            if all.len() < 4 * MAX_WORDS && !all.iter().any(|(own, _)| own == word) {
                all.push((word.to_owned(), is_wide));
            }
        });
        if all.iter().any(|(word, _)| !STOP.contains(&word.as_str())) {
            all.retain(|(word, _)| !STOP.contains(&word.as_str()));
        }
        all.truncate(MAX_WORDS);
        let words: Vec<QueryWord> = all
            .into_iter()
            .map(|(text, is_wide)| QueryWord {
                stems: stemmers.iter().map(|stemmer| stemmer.stem(&text).into_owned()).collect(),
                text,
                is_wide,
            })
            .collect();
        let mut firsts = [false; 256];
        for byte in
            words.iter().flat_map(|word| word.stems.iter().chain([&word.text])).filter_map(|text| text.bytes().next())
        {
            firsts[usize::from(byte)] = true;
        }
        // A stemmer may fold the first letter: German Äpfel, Apfel. Other letters than ASCII are always compared.
        if !stemmers.is_empty() {
            (0x80..=0xff).for_each(|byte: usize| firsts[byte] = true);
        }
        Self { words, whole, typed: text.trim().to_owned(), stemmers, firsts, known: HashMap::new() }
    }

    /// The words, as they were typed but in lower case.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|word| word.text.as_str())
    }

    /// The matching words of the query for a folded word of a text, as bits.
    pub fn matching(&mut self, word: &str, is_wide: bool) -> u32 {
        let first = word.bytes().next().unwrap_or_default();
        if !self.firsts[usize::from(first)] {
            return 0;
        }
        if let Some(bits) = self.known.get(word) {
            return *bits;
        }
        let bits = self.compare(word, is_wide);
        if self.known.len() < MAX_KNOWN {
            self.known.insert(word.into(), bits);
        }
        bits
    }

    fn compare(&self, word: &str, is_wide: bool) -> u32 {
        let stems: Vec<_> =
            if is_wide { Vec::new() } else { self.stemmers.iter().map(|stemmer| stemmer.stem(word)).collect() };
        let is_match = |own: &QueryWord| {
            let is_prefix = || own.text.chars().count() >= MIN_PREFIX && word.starts_with(&own.text);
            own.text == word
                || (!own.is_wide
                    && !is_wide
                    && (own.stems.iter().zip(&stems).any(|(own, stem)| own == stem) || is_prefix()))
        };
        self.words.iter().enumerate().filter(|(_, own)| is_match(own)).fold(0, |bits, (n, _)| bits | 1 << n)
    }
}

/// A text in lower case and composed (NFC), so that both spellings of `é` are the same. Line breaks stay as they are.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = text.to_lowercase();
    if is_nfc_quick(lower.chars()) == unicode_normalization::IsNormalized::Yes { lower } else { lower.nfc().collect() }
}

/// Whether a character belongs to a script that is written without spaces between words.
fn is_wide(c: char) -> bool {
    matches!(u32::from(c), 0xe00..=0xeff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x2e80..=0x9fff | 0xac00..=0xd7af
        | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

/// Passes every word of a folded text to `see`: runs of letters and digits, and overlapping pairs of characters for
/// scripts without spaces, marked as wide.
pub fn each_word(text: &str, mut see: impl FnMut(&str, bool)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        // Most text is ASCII: its words are found without decoding.
        let start = at;
        while at < bytes.len() && bytes[at].is_ascii_alphanumeric() {
            at += 1;
        }
        if at < bytes.len() && !bytes[at].is_ascii() {
            at = start + each_other_word(&text[start..], &mut see);
        } else if at > start {
            see(&text[start..at], false);
        } else {
            at += 1;
        }
    }
}

/// The words of the beginning of a text, up to the first ASCII character that belongs to no word; returns its place.
fn each_other_word(text: &str, see: &mut impl FnMut(&str, bool)) -> usize {
    let (mut word, mut wide) = (None, None);
    let ends = text.char_indices().chain([(text.len(), ' ')]);
    for (at, c) in ends {
        let is_wide = is_wide(c);
        // A mark changes the letter before it.
        let is_part = !is_wide && (c.is_alphanumeric() || (word.is_some() && is_mark(c)));
        if let (Some(start), false) = (word, is_part) {
            see(&text[start..at], false);
            word = None;
        }
        if is_part {
            word = word.or(Some(at));
        }
        wide = match (wide, is_wide) {
            (Some((before, _)), true) => {
                see(&text[before..at + c.len_utf8()], true);
                Some((at, true))
            }
            (Some((alone, false)), false) => {
                see(&text[alone..at], true);
                None
            }
            (None, true) => Some((at, false)),
            (_, false) => None,
        };
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            return at;
        }
    }
    text.len()
}

/// Combining marks and signs of the scripts whose vowels are marks.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        each_word(&fold(text), |word, _| words.push(word.to_owned()));
        words
    }

    fn matches(query: &str, languages: &[&str], word: &str) -> bool {
        let languages: Vec<String> = languages.iter().map(|code| (*code).to_owned()).collect();
        Query::new(query, &languages).matching(&fold(word), false) != 0
    }

    #[test]
    fn words_of_every_script_are_split() {
        assert_eq!(words("The NAS is 10.0.0.7!"), ["the", "nas", "is", "10", "0", "0", "7"]);
        assert_eq!(words("Öderweg-Straße abc日本語x"), ["öderweg", "straße", "abc", "日本", "本語", "x"]);
        assert_eq!(words("猫 one 猫名"), ["猫", "one", "猫名"]);
        assert_eq!(words("हिन्दी में"), ["हिन्दी", "में"], "vowel signs belong to the word");
        assert_eq!(words("e\u{301}te\u{301} x"), ["été", "x"]);
        assert_eq!(words(""), [""; 0]);
    }

    #[test]
    fn inflections_and_beginnings_match_and_other_words_do_not() {
        assert!(matches("meetings", &["en"], "Meeting") && matches("running", &["en"], "runs"));
        assert!(matches("Häuser", &["de"], "Haus") && matches("apfel", &["de"], "Äpfel"));
        assert!(!matches("meetings", &[], "meeting") && matches("meet", &[], "meetings"));
        assert!(!matches("me to", &["en"], "meadow"), "two letters are no beginning");
        assert!(!matches("nas", &["en"], "nose"));
    }

    #[test]
    fn stop_words_count_only_alone_and_long_queries_are_cut() {
        let of = |text: &str| Query::new(text, &[]).words().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(of("where is the NAS?"), ["nas"]);
        assert_eq!(of("who is it"), ["who", "is", "it"]);
        assert_eq!(of(&(0..99).map(|n| format!("w{n} ")).collect::<String>()).len(), MAX_WORDS);
        assert_eq!(of("🦀"), [""; 0]);
    }
}
