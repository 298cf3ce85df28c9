//! The summary of a session for lists: title, sender, counts, times. It is a fold over the records of the log, and
//! summaries of consecutive parts add up, so that only the records added since the last summary must be read.

use crate::core::event::address::Address;
use crate::core::session::record::Record;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The length of a title, in characters.
const TITLE: usize = 50;

/// The summary of a contiguous part of a session's log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionSummary {
    /// The beginning of the first message.
    pub title: String,
    /// The sender of the first message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Address>,
    /// The number of messages to answer.
    pub messages: u64,
    /// Input tokens of all model calls.
    pub input: u64,
    /// Output tokens of all model calls.
    pub output: u64,
    /// The time of the first message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// The time of the last record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<Timestamp>,
}

impl SessionSummary {
    /// Adds the next record.
    pub fn take(&mut self, record: &Record) {
        let at = match record {
            Record::In { at, event } | Record::Also { at, event, .. } => {
                let first = Self {
                    title: title(&event.content),
                    source: Some(event.from.clone()),
                    messages: 1,
                    created: Some(*at),
                    ..Self::default()
                };
                self.add(first);
                at
            }
            Record::Model { at, reply, .. } => {
                self.input = self.input.saturating_add(reply.usage.input);
                self.output = self.output.saturating_add(reply.usage.output);
                at
            }
            Record::Begun { at, .. } | Record::Tool { at, .. } | Record::Done { at, .. } => at,
            Record::Compact(compact) => &compact.at,
            Record::Unknown => return,
        };
        self.updated = Some(*at);
    }

    /// Adds the summary of the part that follows this one.
    pub fn add(&mut self, later: Self) {
        if self.messages == 0 {
            (self.title, self.source, self.created) = (later.title, later.source, later.created);
        }
        self.messages = self.messages.saturating_add(later.messages);
        self.input = self.input.saturating_add(later.input);
        self.output = self.output.saturating_add(later.output);
        self.updated = later.updated.or(self.updated);
    }

    /// Input and output tokens together.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// The first [`TITLE`] characters of a text, with white space collapsed into single spaces.
fn title(text: &str) -> String {
    let words = text.split_whitespace().flat_map(|word| [" ", word]).skip(1);
    words.flat_map(str::chars).take(TITLE).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Draft;
    use crate::core::event::id::Id;
    use crate::core::event::stamp::Stamp;
    use crate::core::model::{Reply, Usage};
    use proptest::prelude::*;

    fn said(second: i64, text: &str) -> Record {
        let place = Address::parse(&format!("cli:ann{second}")).unwrap();
        let event = Draft::message(text).complete(Id::new(Stamp(second), 0), Stamp(second), &place, &place);
        Record::In { at: Timestamp::from_second(second).unwrap(), event: Box::new(event) }
    }

    fn answered(second: i64) -> Record {
        let usage = Usage { input: 10, output: 5, ..Usage::default() };
        let (at, id) = (Timestamp::from_second(second).unwrap(), Id::new(Stamp(0), 0));
        Record::Model { at, id, model: "m".into(), ms: 1, reply: Reply { usage, ..Reply::default() }, estimated: 0 }
    }

    fn head(records: &[Record]) -> SessionSummary {
        let mut head = SessionSummary::default();
        for record in records {
            head.take(record);
        }
        head
    }

    #[test]
    fn title_is_the_first_message() {
        let head = head(&[said(1, "  What is\n\tdue?\n"), answered(2), said(3, "And now?"), answered(4)]);
        let expected = SessionSummary {
            title: "What is due?".into(),
            source: Some(Address::parse("cli:ann1").unwrap()),
            messages: 2,
            input: 20,
            output: 10,
            created: Timestamp::from_second(1).ok(),
            updated: Timestamp::from_second(4).ok(),
        };
        assert_eq!((head.tokens(), head), (30, expected));
    }

    #[test]
    fn title_has_at_most_fifty_characters_of_any_script() {
        assert_eq!(title(&"猫".repeat(60)), "猫".repeat(50));
        assert_eq!(title(&format!("{} b", "a".repeat(49))), "a".repeat(49));
        assert_eq!((title(" \n"), title("")), (String::new(), String::new()));
    }

    proptest! {
        #[test]
               fn summaries_of_parts_add_up_to_the_whole(kinds in proptest::collection::vec(0..3u8, 0..12), at in 0..12usize) {
            let record = |(n, kind): (usize, &u8)| {
                let second = i64::try_from(n).unwrap();
                match kind {
                    0 => said(second, &format!("text {n}")),
                    1 => answered(second),
                    _ => Record::Unknown,
                }
            };
            let records: Vec<Record> = kinds.iter().enumerate().map(record).collect();
            let (first, rest) = records.split_at(at.min(records.len()));
            let mut sum = head(first);
            sum.add(head(rest));
            prop_assert_eq!(sum, head(&records));
        }
    }
}
