//! The name of an event's file in a box. All mutable state is in the name, so every transition is one rename, and a
//! listing needs neither `stat` nor the file's content.
//!
//! `new/`: `<id>.json`, delayed `<due>~<id>.json`, in a second round `<id>~~0r2.json`. `ready/`, `run/`, `failed/`:
//! `<id>~<lane>~<tries>.json`. `wait/`: `<due>~<id>~<lane>~<tries>.json`.

use crate::core::event::id::{Id, is_name_byte};
use crate::core::event::retry;
use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use std::fmt;

/// The attempts at an event: `3`, after two kills `3c2`, one of them the event's own `3c2b1`, in the second round `0r2`.
/// While it waits for a budget, `0s` and a mark of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Claims in this round; the back-off grows with this number.
    pub attempts: u32,
    /// The number of most recent claims in a row that ended with a killed worker.
    pub crashes: u32,
    /// Those of them for which the event is to blame: the worker was a process for this event only, and its parent saw
    /// it die.
    pub blamed: u32,
    /// Earlier rounds; `claw retry` starts a new one.
    pub rounds: u32,
    /// It waits for a budget: a mark of the limits, so that it is due once they have changed.
    pub limits: Option<u16>,
}

/// The parsed file name of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The event is not claimed before this instant.
    pub due: Option<Stamp>,
    /// The event.
    pub id: Id,
    /// The unit of order: the session in the inbox, the destination in the outbox; empty in `new/`.
    pub lane: String,
    /// The attempts so far.
    pub tries: Tries,
}

impl Entry {
    /// The entry of an event that is not routed yet.
    #[must_use]
    pub fn unrouted(id: Id, due: Option<Stamp>) -> Self {
        Self { due, id, lane: String::new(), tries: Tries::default() }
    }

    /// The entry of an event in `lane` before its first claim.
    #[must_use]
    pub fn fresh(id: Id, lane: impl Into<String>) -> Self {
        Self { due: None, id, lane: lane.into(), tries: Tries::default() }
    }

    /// The due instant while it is in the future. A due instant further ahead than [`retry::MAX_WAIT`] was written with
    /// a wrong clock and counts as past.
    #[must_use]
    pub fn waits_until(&self, now: Stamp) -> Option<Stamp> {
        self.due.filter(|due| *due > now && *due <= now.plus_seconds(retry::MAX_WAIT))
    }

    /// Parses a file name; `None` for other files.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        // Only the canonical form is accepted: a rename from any other form would not find the file.
        Self::read(name).filter(|entry| entry.to_string() == name)
    }

    /// The lane in a file name, without parsing the rest.
    #[must_use]
    pub fn lane_of(name: &str) -> Option<&str> {
        let mut parts = name.rsplit('~');
        let tries = parts.next()?;
        parts.next().filter(|_| tries.starts_with(|c: char| c.is_ascii_digit()) && parts.next().is_some())
    }

    fn read(name: &str) -> Option<Self> {
        let mut parts: Vec<&str> = name.strip_suffix(".json")?.split('~').collect();
        let due = if matches!(parts.len(), 2 | 4) { Some(Stamp::parse(parts.remove(0))?) } else { None };
        let id = Id::parse(parts[0]).ok()?;
        match parts[..] {
            [_] => Some(Self::unrouted(id, due)),
            [_, lane, tries] if lane.len() <= session_name::MAX && lane.bytes().all(is_name_byte) => {
                Some(Self { due, id, lane: lane.to_owned(), tries: Tries::parse(tries)? })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(due) = self.due {
            write!(f, "{due}~")?;
        }
        write!(f, "{}", self.id)?;
        if !self.lane.is_empty() || self.tries != Tries::default() {
            write!(f, "~{}~{}", self.lane, self.tries)?;
        }
        f.write_str(".json")
    }
}

impl Tries {
    fn parse(text: &str) -> Option<Self> {
        let (text, limits) = match text.split_once('s') {
            Some((head, limits)) => (head, Some(limits.parse().ok()?)),
            None => (text, None),
        };
        let (text, rounds) = match text.split_once('r') {
            Some((head, round)) => (head, round.parse::<u32>().ok()?.checked_sub(1)?),
            None => (text, 0),
        };
        let (text, blamed) = match text.split_once('b') {
            Some((head, blamed)) => (head, blamed.parse().ok()?),
            None => (text, 0),
        };
        let (attempts, crashes) = match text.split_once('c') {
            Some((head, crashes)) => (head, crashes.parse().ok()?),
            None => (text, 0),
        };
        Some(Self { attempts: attempts.parse().ok()?, crashes, blamed, rounds, limits })
    }

    /// The same tries after another kill. `is_blamed`: the worker was a process for this event only, and its parent
    /// lives.
    #[must_use]
    pub fn killed(self, is_blamed: bool) -> Self {
        Self {
            crashes: self.crashes.saturating_add(1),
            blamed: self.blamed.saturating_add(u32::from(is_blamed)),
            ..self
        }
    }

    /// The same tries without the kills: the event has made progress, or something else was the reason.
    #[must_use]
    pub fn forgiven(self) -> Self {
        Self { crashes: 0, blamed: 0, ..self }
    }

    /// Whether the event is handled by a process for it only, because it may kill its worker.
    #[must_use]
    pub fn is_suspect(self) -> bool {
        self.crashes >= retry::SUSPECT
    }

    /// Whether the event fails, unless its work is done already.
    #[must_use]
    pub fn is_given_up(self) -> bool {
        self.blamed >= retry::MAX_BLAMED || self.crashes >= retry::MAX_CRASHES
    }

    /// Whether the worker was killed even while it failed a given up event. Then nothing of the event is read again.
    #[must_use]
    pub fn is_untouchable(self) -> bool {
        self.blamed > retry::MAX_BLAMED || self.crashes > retry::MAX_CRASHES
    }
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.attempts)?;
        if self.crashes > 0 {
            write!(f, "c{}", self.crashes)?;
        }
        if self.blamed > 0 {
            write!(f, "b{}", self.blamed)?;
        }
        if self.rounds > 0 {
            write!(f, "r{}", self.rounds + 1)?;
        }
        if let Some(limits) = self.limits {
            write!(f, "s{limits}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_parses_and_prints_back() {
        for name in [
            "20261121T004130.123456Z-k7f3q9.json",
            "20261121T014130.123456Z~20261121T004130.123456Z-k7f3q9.json",
            "20261121T004130.123456Z-k7f3q9~~0r2.json",
            "20261121T004130.123456Z-k7f3q9~pickle.cli-ann~0.json",
            "20261121T004130.123456Z-k7f3q9~pickle.cli-ann~3c1r2.json",
            "20261121T004130.123456Z-k7f3q9~pickle.cli-ann~5c4b2.json",
            "20261121T004130.123456Z-k7f3q9~pickle.cli-ann~5c4b2r3.json",
            "20261121T014130.123456Z~20261121T004130.123456Z-k7f3q9~pickle.cli-ann~1r2s40999.json",
            "20261121T014130.123456Z~20261121T004130.123456Z-k7f3q9.r01~cli-ann~2.json",
        ] {
            assert_eq!(Entry::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn only_deaths_seen_by_a_parent_or_many_kills_give_an_event_up() {
        let after = |kills: &[bool]| kills.iter().fold(Tries::default(), |tries, blamed| tries.killed(*blamed));
        let judged = |kills: &[bool]| {
            let tries = after(kills);
            (tries.is_suspect(), tries.is_given_up(), tries.is_untouchable())
        };
        assert_eq!(judged(&[false]), (false, false, false));
        assert_eq!(judged(&[false; 2]), (true, false, false));
        assert_eq!(judged(&[false; 9]), (true, false, false), "kills of a supervisor");
        assert_eq!(judged(&[false; 10]), (true, true, false));
        assert_eq!(judged(&[false; 11]), (true, true, true));
        assert_eq!(judged(&[false, false, true, true]), (true, false, false));
        assert_eq!(judged(&[false, false, true, true, true]), (true, true, false));
        assert_eq!(judged(&[false, false, true, true, true, true]), (true, true, true));
        assert_eq!(after(&[true; 4]).forgiven(), Tries::default());
    }

    #[test]
    fn due_instant_of_a_wrong_clock_is_ignored() {
        let now = Stamp::parse("20261121T004130.123456Z").unwrap();
        let due = |seconds| Entry { due: Some(now.plus_seconds(seconds)), ..Entry::fresh(id(), "l") };
        let is_waiting = |seconds| due(seconds).waits_until(now).is_some();
        assert_eq!([-1, 0, 1, retry::MAX_WAIT, retry::MAX_WAIT + 1].map(is_waiting), [false, false, true, true, false]);
        assert_eq!(Entry::fresh(id(), "l").waits_until(now), None);
    }

    fn id() -> Id {
        Id::parse("20261121T004130.123456Z-k7f3q9").unwrap()
    }

    #[test]
    fn other_files_are_not_entries() {
        for name in [
            "20261121T004130.123456Z-k~l~00.json",
            "20261121T004130.123456Z-k~l~+1.json",
            "",
            "x.json",
            "q.md",
            ".json",
            "20261121T004130.123456Z-k7f3q9",
            "~~~.json",
        ] {
            assert_eq!(Entry::parse(name), None, "{name}");
        }
        assert_eq!(Entry::parse("20261121T004130.123456Z-a~b~c.json"), None);
        assert_eq!(Entry::parse("20261121T004130.123456Z-a~../b~0.json"), None);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(name in ".{0,120}") {
            let _ = Entry::parse(&name);
        }

        #[test]
        fn tries_parse_and_print_back(
            attempts in 0u32..999, crashes in 0u32..12, blamed in 0u32..5, rounds in 0u32..99,
            limits in proptest::option::of(proptest::num::u16::ANY),
        ) {
            let tries = Tries { attempts, crashes, blamed, rounds, limits };
            prop_assert_eq!(Tries::parse(&tries.to_string()), Some(tries));
        }
    }
}
