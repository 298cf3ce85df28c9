//! Languages whose words have a stemmer: an algorithm that removes endings, so that forms of a word are the same.

use rust_stemmers::{Algorithm, Stemmer};

/// The languages with a stemmer, by their ISO 639-1 codes.
const LANGUAGES: [(&str, Algorithm); 18] = [
    ("ar", Algorithm::Arabic),
    ("da", Algorithm::Danish),
    ("de", Algorithm::German),
    ("el", Algorithm::Greek),
    ("en", Algorithm::English),
    ("es", Algorithm::Spanish),
    ("fi", Algorithm::Finnish),
    ("fr", Algorithm::French),
    ("hu", Algorithm::Hungarian),
    ("it", Algorithm::Italian),
    ("nl", Algorithm::Dutch),
    ("no", Algorithm::Norwegian),
    ("pt", Algorithm::Portuguese),
    ("ro", Algorithm::Romanian),
    ("ru", Algorithm::Russian),
    ("sv", Algorithm::Swedish),
    ("ta", Algorithm::Tamil),
    ("tr", Algorithm::Turkish),
];

/// The codes of all languages with a stemmer.
pub fn codes() -> impl Iterator<Item = &'static str> {
    LANGUAGES.iter().map(|(code, _)| *code)
}

/// The stemmer of a language; `None` for an unknown code.
#[must_use]
pub fn stemmer(code: &str) -> Option<Stemmer> {
    LANGUAGES.iter().find(|(own, _)| *own == code).map(|(_, algorithm)| Stemmer::create(*algorithm))
}
