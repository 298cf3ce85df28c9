//! Discord's JSON, as far as it is read. Unknown fields and values are accepted: Discord adds them at any time.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// The first millisecond of 2015, in Unix time: Discord's ids count from it.
const EPOCH: u64 = 1_420_070_400_000;
/// The bits of an id below its milliseconds.
const BELOW: u32 = 22;

/// An id: its upper bits are the instant at which it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Snowflake(pub u64);

impl Snowflake {
    /// The first id of an instant in Unix milliseconds.
    pub fn at(millis: u64) -> Self {
        Self(millis.saturating_sub(EPOCH) << BELOW)
    }

    /// The instant in Unix milliseconds.
    pub fn millis(self) -> u64 {
        (self.0 >> BELOW) + EPOCH
    }

    /// The id so many milliseconds earlier.
    pub fn earlier(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis << BELOW))
    }

    /// Parses decimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|id| is_plain && *id != 0).map(Self)
    }
}

impl fmt::Display for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<'de> Deserialize<'de> for Snowflake {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Text(String),
            Number(u64),
        }
        let text = match Raw::deserialize(source)? {
            Raw::Text(text) => text,
            Raw::Number(number) => number.to_string(),
        };
        Self::parse(&text).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"an id"))
    }
}

/// The system's time in Unix milliseconds.
pub fn now_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A message.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    pub id: Snowflake,
    pub channel_id: Snowflake,
    /// Only in events of the gateway.
    pub guild_id: Option<Snowflake>,
    pub author: User,
    /// Empty without the right to read it.
    pub content: Option<String>,
    pub timestamp: Option<String>,
    #[serde(rename = "type", default)]
    pub kind: u64,
    pub mentions: Option<Vec<User>>,
    /// The message that it answers.
    #[serde(rename = "referenced_message")]
    pub answered: Option<Box<Self>>,
    /// Forwarded messages.
    #[serde(rename = "message_snapshots")]
    pub forwarded: Option<Vec<Snapshot>>,
    pub attachments: Option<Vec<Attachment>>,
    pub webhook_id: Option<Snowflake>,
}

/// A user.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    pub id: Snowflake,
    #[serde(default)]
    pub username: String,
    pub global_name: Option<String>,
    pub bot: Option<bool>,
}

impl User {
    /// The name that people see.
    pub fn name(&self) -> &str {
        self.global_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&self.username)
    }
}

/// A file; it is not fetched.
#[derive(Clone, Debug, Deserialize)]
pub struct Attachment {
    #[serde(default)]
    pub filename: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub url: String,
}

/// A forwarded message; Discord withholds its author.
#[derive(Clone, Debug, Deserialize)]
pub struct Snapshot {
    pub message: SnapshotMessage,
}

/// The text of a forwarded message.
#[derive(Clone, Debug, Deserialize)]
pub struct SnapshotMessage {
    pub content: Option<String>,
}

/// A channel or a thread.
#[derive(Clone, Debug, Deserialize)]
pub struct Channel {
    pub id: Snowflake,
    #[serde(rename = "type")]
    pub kind: u64,
    pub parent_id: Option<Snowflake>,
    pub last_message_id: Option<Snowflake>,
    pub recipients: Option<Vec<User>>,
}

impl Channel {
    /// Whether it is a conversation of two.
    pub fn is_direct(&self) -> bool {
        self.kind == 1
    }

    /// Whether it is a thread.
    pub fn is_thread(&self) -> bool {
        matches!(self.kind, 10..=12)
    }

    /// Whether it holds messages: text, direct, voice, announcement, thread, stage.
    pub fn has_messages(&self) -> bool {
        matches!(self.kind, 0..=2 | 5 | 10..=13)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_has_its_instant() {
        // The example of Discord's documentation.
        assert_eq!(Snowflake(175_928_847_299_117_063).millis(), 1_462_015_105_796);
        assert_eq!(Snowflake::at(1_462_015_105_796).millis(), 1_462_015_105_796);
        assert_eq!(Snowflake(5).earlier(1000), Snowflake(0));
    }

    #[test]
    fn ids_are_texts_or_numbers() {
        let read = |text: &str| serde_json::from_str::<Snowflake>(text).ok().map(|id| id.0);
        assert_eq!(read(r#""17""#), Some(17));
        assert_eq!(read("17"), Some(17));
        assert_eq!(read(r#""9223372036854775808""#), Some(1 << 63));
        for bad in [r#""""#, r#""0""#, "0", "-1", r#""+1""#, r#""18446744073709551616""#, r#""1x""#, "null", "1.5"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
