//! Addresses: `channel:rest`, split once at the colon. An address is never used as a path or as a command; in a file
//! name it is escaped by [`safe_name`].

use crate::core::event::id::is_name_byte;
use crate::core::fault::{Fault, Result};
use crate::core::text::base32::hash32;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// The longest address in bytes; platforms stay far below.
pub const MAX: usize = 512;

/// The sender of an event or the destination of an answer: `telegram:-100123/7`, `cli:ann`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "String")]
pub struct Address {
    text: String,
    colon: usize,
}

impl Address {
    /// Parses `channel:rest`. The channel is `[a-z][a-z0-9]*`, at most 24 bytes; the rest is any text without control
    /// characters.
    ///
    /// # Errors
    /// `Data`, with the reason.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            let shown: String = text.chars().take(80).collect();
            Fault::data(format!("`{}` is not an address: {why}", shown.escape_debug()))
                .hint("an address is channel:rest, like cli:ann or file:notes")
        };
        if text.len() > MAX {
            return Err(bad("longer than 512 bytes"));
        }
        let Some((channel, rest)) = text.split_once(':') else {
            return Err(bad("it has no colon"));
        };
        let first_is_letter = channel.starts_with(|c: char| c.is_ascii_lowercase());
        let lower = channel.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !first_is_letter || !lower || channel.len() > 24 {
            return Err(bad("a channel is a-z and 0-9"));
        }
        if rest.trim().is_empty() {
            return Err(bad("nothing follows the colon"));
        }
        if rest.chars().any(char::is_control) {
            return Err(bad("it has control characters"));
        }
        Ok(Self { text: text.to_owned(), colon: channel.len() })
    }

    /// The part before the colon.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The part after the first colon.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address as part of a file name: `cli:ann` is `cli-ann`. Different addresses have different slugs.
    #[must_use]
    pub fn slug(&self) -> String {
        format!("{}-{}", self.channel(), safe_name(self.rest(), 32))
    }
}

/// `text` as part of a file name of at most `max` bytes (`max` over 12). Safe text stays as it is. Any other text is
/// reduced to its safe characters, with `+` and a hash appended. `+` in the text itself counts as unsafe, so no text
/// can be chosen that has the name of another one.
#[must_use]
pub fn safe_name(text: &str, max: usize) -> String {
    let is_safe = |b: u8| is_name_byte(b) && b != b'+';
    if text.len() <= max && !text.starts_with('.') && !text.is_empty() && text.bytes().all(is_safe) {
        return text.to_owned();
    }
    let ascii = |c: char| u8::try_from(c).is_ok_and(is_safe);
    let plain: String = text.chars().map(|c| if ascii(c) { c } else { '-' }).take(max - 11).collect();
    let plain = plain.trim_start_matches('.');
    format!("{plain}+{}", hash32(text, 10))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Implemented by hand: the error arises while the text is parsed, so that an error in settings has its key and place.
impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(source: D) -> std::result::Result<Self, D::Error> {
        struct AddressVisitor;
        impl Visitor<'_> for AddressVisitor {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string, channel:rest")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Address, E> {
                Address::parse(text).map_err(E::custom)
            }
        }
        source.deserialize_str(AddressVisitor)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn slug(text: &str) -> String {
        Address::parse(text).unwrap().slug()
    }

    #[test]
    fn address_splits_at_the_first_colon() {
        let address = Address::parse("exec:a:b").unwrap();
        assert_eq!((address.channel(), address.rest()), ("exec", "a:b"));
    }

    #[test]
    fn plain_address_keeps_its_text_in_the_slug() {
        assert_eq!(slug("cli:ann"), "cli-ann");
        assert_eq!(slug("telegram:42"), "telegram-42");
    }

    #[test]
    fn unsafe_addresses_get_safe_and_distinct_slugs() {
        let long = format!("cli:{}", "x".repeat(300));
        let longer = format!("cli:{}y", "x".repeat(300));
        let texts = ["cli:../../etc", "cli:a/b", "cli:a-b", "cli:a~b", "cli:🥒", "cli:🥬", "cli:..", &long, &longer];
        let slugs: HashSet<String> = texts.iter().map(|t| slug(t)).collect();
        assert_eq!(slugs.len(), texts.len());
        for name in &slugs {
            assert!(name.len() <= 57 && name.bytes().all(is_name_byte), "{name}");
        }
        // A hashed slug cannot be produced from a chosen address.
        let hashed = slug("cli:a/b");
        assert_ne!(slug(&hashed.replacen('-', ":", 1)), hashed);
    }

    #[test]
    fn malformed_address_is_refused() {
        for bad in ["", "ann", ":ann", "cli:", "cli: ", "CLI:ann", "../x:y", "cli:a\0b", "cli:a\nb"] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Address::parse(&format!("cli:{}", "x".repeat(600))).is_err());
    }
}
