//! A place: a direct conversation, a channel or a thread, with its mark and what is still to be fetched.

use crate::ledger::Ledger;
use crate::wire::{Channel, Message, Snowflake};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most live messages that wait for a fetch; more are fetched, too.
const MAX_WAITING: usize = 100;

/// The kind of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A conversation with this user.
    Direct(Snowflake),
    /// A channel of a server.
    Channel,
    /// A thread of this channel.
    Thread(Snowflake),
}

impl Kind {
    /// The kind of a channel of the API.
    pub fn of(channel: &Channel) -> Option<Self> {
        let recipient = || channel.recipients.iter().flatten().next().map(|user| user.id);
        match channel {
            _ if channel.is_direct() => recipient().map(Self::Direct),
            _ if channel.is_thread() => channel.parent_id.map(Self::Thread),
            _ => Some(Self::Channel),
        }
    }

    /// Whether it is a conversation of two.
    pub fn is_direct(self) -> bool {
        matches!(self, Self::Direct(_))
    }
}

/// How far a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Messages after this id must be fetched.
    Behind(Snowflake),
    /// A page is being fetched; true if messages were missed again meanwhile.
    Fetching(bool),
    /// New messages are handed over as they come.
    Current,
}

/// A place.
pub struct Place {
    /// `None` until the API has said it.
    pub kind: Option<Kind>,
    /// The mark.
    pub ledger: Ledger,
    /// How far it is.
    pub phase: Phase,
    /// Live messages that wait until the fetch is over.
    pub waiting: BTreeMap<Snowflake, Message>,
    /// The mark has moved past skipped messages only, and is not stored yet.
    pub is_dirty: bool,
}

impl Place {
    /// A place with a mark, of which messages may be missing.
    pub fn new(kind: Option<Kind>, ledger: Ledger) -> Self {
        let phase = Phase::Behind(ledger.floor());
        Self { kind, ledger, phase, waiting: BTreeMap::new(), is_dirty: false }
    }

    /// Reads a stored one.
    pub fn read(stored: &Value) -> Option<Self> {
        let id = |key: &str| stored[key].as_str().and_then(Snowflake::parse);
        let kind = match stored["kind"].as_str()? {
            "direct" => Kind::Direct(id("user")?),
            "channel" => Kind::Channel,
            "thread" => Kind::Thread(id("parent")?),
            _ => return None,
        };
        Some(Self::new(Some(kind), Ledger::read(stored)?))
    }

    /// The stored form; none while its kind is unknown.
    pub fn stored(&self) -> Option<Value> {
        let mut stored = self.ledger.stored();
        match self.kind? {
            Kind::Direct(user) => {
                stored["kind"] = json!("direct");
                stored["user"] = json!(user.to_string());
            }
            Kind::Channel => stored["kind"] = json!("channel"),
            Kind::Thread(parent) => {
                stored["kind"] = json!("thread");
                stored["parent"] = json!(parent.to_string());
            }
        }
        Some(stored)
    }

    /// Messages may have been missed.
    pub fn fall_behind(&mut self) {
        self.phase = match self.phase {
            Phase::Fetching(_) => Phase::Fetching(true),
            _ => Phase::Behind(self.ledger.floor()),
        };
    }

    /// A live message waits for the fetch.
    pub fn wait(&mut self, message: Message) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.insert(message.id, message);
        } else {
            self.waiting.clear();
            self.fall_behind();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_survives_a_restart() {
        for kind in [Kind::Direct(Snowflake(3)), Kind::Channel, Kind::Thread(Snowflake(4))] {
            let mut place = Place::new(Some(kind), Ledger::new(Snowflake(77)));
            place.ledger.open(Snowflake(99));
            place.ledger.finish(Snowflake(99));
            let read = Place::read(&place.stored().unwrap()).unwrap();
            assert_eq!(
                (read.kind, &read.ledger, read.phase),
                (Some(kind), &place.ledger, Phase::Behind(Snowflake(77)))
            );
        }
        assert!(Place::read(&json!({"kind": "planet"})).is_none());
    }

    #[test]
    fn more_messages_than_may_wait_are_fetched() {
        let mut place = Place::new(Some(Kind::Channel), Ledger::new(Snowflake(1)));
        place.phase = Phase::Fetching(false);
        for id in 2..=102u64 {
            let message = json!({"id": id.to_string(), "channel_id": "1", "author": {"id": "1"}});
            place.wait(serde_json::from_value(message).unwrap());
        }
        assert_eq!((place.phase, place.waiting.len()), (Phase::Fetching(true), 0));
    }
}
