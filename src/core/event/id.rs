//! Event ids: `20261121T004130.123456Z-k7f3q9`. They sort by time and are readable in `ls`. An event caused by another
//! event has a derived id (`….r01` is the first reply), so that a repeated step produces the same id.

use crate::core::event::stamp::{self, Stamp};
use crate::core::fault::{Fault, Result};
use crate::core::text::base32::{base32, hash32};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest id in bytes.
pub const MAX: usize = 90;
/// A valid event id. The order of ids is the order of their text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

/// The relation of a derived event to its parent; each variant names its letter in the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derived {
    /// A reply, `r`.
    Reply,
    /// A note to remember, `m`.
    Memory,
    /// A notice of a failure, `n`.
    Notice,
    /// The owner's decision about a tool call, `a`.
    Approval,
    /// A task for another agent, `d`.
    Dispatch,
    /// A text that a turn sends to another conversation, `p`.
    Post,
    /// The output of the command that decides whether a job runs, `i`.
    Condition,
}

impl Id {
    /// An id for the instant `at`, made unique by `random`.
    #[must_use]
    pub fn new(at: Stamp, random: u64) -> Self {
        Self(format!("{at}-{}", base32(random, 6)))
    }

    /// Parses an id: an instant, a dash, and at least one of `A-Z a-z 0-9 . _ + -`.
    ///
    /// # Errors
    /// `Data`, with the reason, for any other text and for more than [`MAX`] bytes.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Fault::data(format!("`{}` is not an event id: {why}", text.escape_debug()))
                .hint("an id looks like 20261121T004130.123456Z-k7f3q9")
        };
        if text.len() > MAX {
            return Err(bad("longer than 90 bytes"));
        }
        let head = text.get(..stamp::WIDTH).and_then(Stamp::parse);
        if head.is_none() {
            return Err(bad("it does not start with an instant"));
        }
        match text[stamp::WIDTH..].strip_prefix('-') {
            Some(rest) if !rest.is_empty() && rest.bytes().all(is_name_byte) => Ok(Self(text.to_owned())),
            _ => Err(bad("after the instant comes a dash and then only A-Z a-z 0-9 . _ + -")),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The instant at the start.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.0.get(..stamp::WIDTH).and_then(Stamp::parse).unwrap_or(Stamp(0))
    }

    /// The part after the instant: the form that users type.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(stamp::WIDTH + 1..).unwrap_or(&self.0)
    }

    /// The id of the `number`th derived event of this `kind`. The number has at least two digits, so that ids sort in
    /// numeric order up to 99.
    #[must_use]
    pub fn derive(&self, kind: Derived, number: u32) -> Self {
        let letter = match kind {
            Derived::Reply => 'r',
            Derived::Memory => 'm',
            Derived::Notice => 'n',
            Derived::Approval => 'a',
            Derived::Dispatch => 'd',
            Derived::Post => 'p',
            Derived::Condition => 'i',
        };
        let tail = format!(".{letter}{number:02}");
        if self.0.len() + tail.len() <= MAX {
            return Self(format!("{}{tail}", self.0));
        }
        // A chain of derivations over the limit keeps the instant; a hash replaces the rest.
        let hash = hash32(&self.0, 12);
        Self(format!("{}-{hash}{tail}", &self.0[..stamp::WIDTH]))
    }

    /// The id of the event at the beginning of the chain of causes. Of a long chain it cannot be told: then it is another id.
    #[must_use]
    pub fn root(&self) -> Self {
        let length = self.short().find('.').map_or(self.0.len(), |dot| self.0.len() - self.short().len() + dot);
        Self(self.0[..length].to_owned())
    }

    /// True for an event that another event caused.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        self.short().contains('.')
    }
}

/// True for the bytes that ids, lanes and session names are made of.
#[must_use]
pub fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-')
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Id {
    type Error = Fault;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_sort_after_their_event_in_numeric_order() {
        let id = Id::new(Stamp(1_795_221_690_123_456), 42);
        assert_eq!(id.as_str(), "20261121T004130.123456Z-00001a");
        let replies: Vec<Id> = (1..=12).map(|n| id.derive(Derived::Reply, n)).collect();
        assert!(replies.is_sorted());
        assert!(replies.iter().all(|r| *r > id && r.is_derived() && r.stamp() == id.stamp()));
        assert_eq!(replies[0].short(), "00001a.r01");
    }

    #[test]
    fn long_chain_of_derivations_is_a_valid_id() {
        let mut id = Id::new(Stamp(0), 1);
        for _ in 0..40 {
            id = id.derive(Derived::Notice, 1);
            assert_eq!(Id::parse(id.as_str()), Ok(id.clone()));
        }
    }

    #[test]
    fn malformed_id_is_refused() {
        let good = "20261121T004130.123456Z-k7f3q9";
        assert!(Id::parse(good).is_ok());
        let long = format!("{good}{}", "x".repeat(300));
        for bad in ["", "hello", "../../etc/passwd", &good[..24], &long, "20261121T004130.123456Z-a~b"] {
            assert!(Id::parse(bad).is_err(), "{bad}");
        }
        for tail in ["/x", "..\0", "🥒", " ", "a/b"] {
            assert!(Id::parse(&format!("20261121T004130.123456Z-{tail}")).is_err(), "{tail}");
        }
    }
}
