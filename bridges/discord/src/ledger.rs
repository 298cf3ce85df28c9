//! The mark of a place: which of its messages are finished. Everything up to `floor` is finished. Discord's ids are not
//! quite in the order in which messages appear, so the floor stays some seconds behind the newest message; finished ones
//! above it are listed.

use crate::wire::Snowflake;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How far the floor stays behind the newest message, in milliseconds.
const SLACK: u64 = 10_000;
/// How far an id may be ahead of this machine's clock, in milliseconds. A larger one would finish all real messages.
const AHEAD: u64 = 86_400_000;

/// The mark of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    floor: Snowflake,
    newest: Snowflake,
    done: BTreeSet<Snowflake>,
    open: BTreeSet<Snowflake>,
}

impl Ledger {
    /// A mark behind which everything is finished.
    pub fn new(floor: Snowflake) -> Self {
        Self { floor, newest: floor, done: BTreeSet::new(), open: BTreeSet::new() }
    }

    /// Reads a stored one.
    pub fn read(stored: &Value) -> Option<Self> {
        let id = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).map(Snowflake);
        let floor = id(&stored["floor"])?;
        let done = stored["done"].as_array()?.iter().map(id).collect::<Option<_>>()?;
        Some(Self { floor, newest: id(&stored["newest"])?, done, open: BTreeSet::new() })
    }

    /// The stored form. Open messages are not in it: after a restart they are fetched again.
    pub fn stored(&self) -> Value {
        let done: Vec<String> = self.done.iter().map(ToString::to_string).collect();
        json!({"floor": self.floor.to_string(), "newest": self.newest.to_string(), "done": done})
    }

    /// Messages after this id may be missing.
    pub fn floor(&self) -> Snowflake {
        self.floor
    }

    /// The newest message that was seen.
    pub fn newest(&self) -> Snowflake {
        self.newest
    }

    /// Whether a message was handed to claw or skipped before.
    pub fn knows(&self, id: Snowflake) -> bool {
        id <= self.floor || self.done.contains(&id) || self.open.contains(&id)
    }

    /// A message is handed to claw.
    pub fn open(&mut self, id: Snowflake) {
        self.open.insert(id);
        self.newest = self.newest.max(id);
    }

    /// A message is not for claw.
    pub fn skip(&mut self, id: Snowflake) {
        self.newest = self.newest.max(id);
        self.settle();
    }

    /// claw has acknowledged or refused a message.
    pub fn finish(&mut self, id: Snowflake) {
        if self.open.remove(&id) {
            self.done.insert(id);
            self.settle();
        }
    }

    fn settle(&mut self) {
        let behind = self.newest.earlier(SLACK);
        let limit = self.open.first().map_or(behind, |first| behind.min(Snowflake(first.0 - 1)));
        if limit > self.floor {
            self.floor = limit;
            self.done = self.done.split_off(&Snowflake(limit.0 + 1));
        }
    }
}

/// Whether an id can be Discord's at the time `now` in Unix milliseconds.
pub fn is_plausible(id: Snowflake, now: u64) -> bool {
    id.0 < 1 << 63 && id.millis() <= now.saturating_add(AHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Snowflake {
        Snowflake(Snowflake::at(1_700_000_000_000).0 + ((second * 1000) << 22))
    }

    #[test]
    fn floor_stays_before_the_first_open_message() {
        let mut ledger = Ledger::new(second(0));
        ledger.open(second(20));
        ledger.open(second(40));
        ledger.finish(second(40));
        ledger.skip(second(60));
        assert_eq!(ledger.floor(), Snowflake(second(20).0 - 1));
        assert!(ledger.knows(second(40)) && !ledger.knows(second(30)));
        ledger.finish(second(20));
        assert_eq!(ledger.floor(), second(50));
        assert_eq!(ledger.stored()["done"], json!([]));
    }

    #[test]
    fn message_that_appears_late_is_new() {
        let mut ledger = Ledger::new(second(0));
        ledger.open(second(30));
        ledger.finish(second(30));
        assert!(!ledger.knows(second(25)) && ledger.knows(second(30)));
        assert_eq!(ledger.floor(), second(20));
    }

    #[test]
    fn finished_messages_survive_a_restart_and_open_ones_return() {
        let mut ledger = Ledger::new(second(0));
        ledger.open(second(30));
        ledger.open(second(31));
        ledger.finish(second(30));
        let stored = Ledger::read(&ledger.stored()).unwrap();
        assert!(stored.knows(second(30)) && !stored.knows(second(31)));
        for broken in [json!({}), json!({"floor": 1}), json!({"floor": "1", "newest": "1", "done": [1]})] {
            assert_eq!(Ledger::read(&broken), None);
        }
    }

    #[test]
    fn answer_for_an_unknown_message_changes_nothing() {
        let mut ledger = Ledger::new(second(0));
        ledger.finish(second(90));
        assert_eq!(ledger, Ledger::new(second(0)));
    }

    #[test]
    fn ids_from_the_future_are_not_plausible() {
        let now = 1_700_000_000_000;
        assert!(is_plausible(Snowflake::at(now), now) && is_plausible(Snowflake::at(now + AHEAD), now));
        for id in [Snowflake::at(now + AHEAD + 1), Snowflake(1 << 63), Snowflake(u64::MAX)] {
            assert!(!is_plausible(id, now), "{id}");
        }
    }
}
