//! The ledger of model calls and their usage: the sums of its lines. Each request is reserved before it is sent, under
//! the step of its turn. Every request counts as a call; the tokens of a step are the reserved ones until it is
//! settled. Settled usage stays, also where the step is requested again; an interrupted request is settled with the
//! reserved amount. The usage of a request whose worker was killed is unknown: its tokens are released when its step
//! is requested again.

use crate::core::budget::ledger_line::{CALL, LedgerKind, LedgerLine, Sums};
use crate::core::event::id::Id;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Sums of ledger lines by day and by label; for budgets the label is the agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    days: BTreeMap<String, BTreeMap<String, Sums>>,
    open: Vec<Reservation>,
    #[serde(rename = "told")]
    notified: BTreeSet<String>,
}

/// A reservation that is not settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reservation {
    line: LedgerLine,
    label: String,
    /// An earlier request for the same step was sent, and its usage is unknown.
    is_again: bool,
}

impl Ledger {
    /// Adds a line under a label.
    pub fn add(&mut self, line: LedgerLine, label: &str) {
        match line.kind {
            LedgerKind::Reserved => {
                let before = self.close(&line);
                if let Some(before) = &before {
                    // The earlier request was sent, so it stays a call; its tokens are replaced by the new reservation.
                    self.change(&before.line.day, &before.label, |sums| sums.add(&CALL));
                }
                let line = LedgerLine { is_estimated: true, ..line };
                self.change(&line.day, label, |sums| sums.add(&line.sums()));
                self.open.push(Reservation { line, label: label.to_owned(), is_again: before.is_some() });
            }
            LedgerKind::Settled => {
                self.close(&line);
                self.change(&line.day, label, |sums| sums.add(&line.sums()));
            }
            LedgerKind::Dropped => {
                // The usage of the earlier request is still unknown, so its tokens stay reserved; its call is
                // already counted.
                if let Some(open) = self.close(&line).filter(|open| open.is_again) {
                    let tokens = Sums { calls: 0, ..open.line.sums() };
                    self.change(&open.line.day, &open.label, |sums| sums.add(&tokens));
                }
            }
            LedgerKind::Notified => self.notified.extend(line.limit),
            LedgerKind::Unknown => {}
        }
    }

    /// Removes the reservation for the step of this line.
    fn close(&mut self, line: &LedgerLine) -> Option<Reservation> {
        let at = self.open.iter().position(|open| open.line.is_for(line.id.as_ref(), line.step))?;
        let open = self.open.swap_remove(at);
        self.change(&open.line.day, &open.label, |sums| sums.subtract(&open.line.sums()));
        Some(open)
    }

    fn change(&mut self, day: &str, label: &str, change: impl FnOnce(&mut Sums)) {
        change(self.days.entry(day.to_owned()).or_default().entry(label.to_owned()).or_default());
    }

    /// The open reservation for a step.
    #[must_use]
    pub fn reserved(&self, id: Option<&Id>, step: u32) -> Option<&LedgerLine> {
        self.open.iter().map(|open| &open.line).find(|line| line.is_for(id, step))
    }

    /// The usage on a day, or on all days; under a label, or under all labels.
    #[must_use]
    pub fn used(&self, day: Option<&str>, label: Option<&str>) -> Sums {
        let mut sums = Sums::default();
        let days = self.days.iter().filter(|(of, _)| day.is_none_or(|day| day == *of));
        let labels = days.flat_map(|(_, labels)| labels).filter(|(of, _)| label.is_none_or(|label| label == *of));
        labels.for_each(|(_, part)| sums.add(part));
        sums
    }

    /// Day, label and sums of every entry.
    pub fn days(&self) -> impl Iterator<Item = (&str, &str, &Sums)> {
        self.days.iter().flat_map(|(day, labels)| labels.iter().map(move |(label, sums)| (&day[..], &label[..], sums)))
    }

    /// Whether the owner was notified of a limit; `key` is its [`notice_key`](super::Limit::notice_key).
    #[must_use]
    pub fn is_notified(&self, key: &str) -> bool {
        self.notified.contains(key)
    }

    /// Merges all days before `day` into one entry: they are not needed separately any more.
    pub fn fold(&mut self, day: &str) {
        let later = self.days.split_off(day);
        for labels in std::mem::replace(&mut self.days, later).into_values() {
            for (label, sums) in labels {
                self.change("", &label, |all| all.add(&sums));
            }
        }
        for open in self.open.iter_mut().filter(|open| *open.line.day < *day) {
            open.line.day.clear();
        }
        self.notified.retain(|key| **key >= *day || key.starts_with("total"));
    }
}

/// The ledger up to a position in its files. A process keeps it in memory, and it is saved so that the next process
/// does not read all files again.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LedgerState {
    /// The version of this format.
    pub v: u32,
    /// The day of the last file read.
    pub file: String,
    /// That file's inode.
    pub inode: u64,
    /// The bytes read of that file.
    pub read: u64,
    /// The sums up to this position.
    pub ledger: Ledger,
    /// The bytes read since this state was saved.
    #[serde(skip)]
    pub unsaved: u64,
    /// The file whose directory entry this process knows to be durable.
    #[serde(skip)]
    pub durable_name: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::stamp::Stamp;
    use crate::core::model::Usage;
    use proptest::prelude::*;

    const DAY: &str = "2026-11-25";

    fn line(kind: LedgerKind, n: i64, input: u64) -> LedgerLine {
        let usage = Usage { input, output: 1, ..Usage::default() };
        let id = Some(Id::new(Stamp(n), 0));
        LedgerLine { kind, day: DAY.into(), id, step: 1, usage, money: input * 2, ..LedgerLine::default() }
    }

    fn ledger(lines: &[LedgerLine]) -> Ledger {
        let mut ledger = Ledger::default();
        for line in lines {
            ledger.add(line.clone(), "pickle");
        }
        ledger
    }

    fn used(lines: &[LedgerLine]) -> (u64, u64, u64) {
        let sums = ledger(lines).used(Some(DAY), Some("pickle"));
        (sums.calls, sums.usage.input, sums.estimated_calls)
    }

    #[test]
    fn every_request_is_a_call_and_a_step_has_its_last_known_tokens() {
        use LedgerKind::{Dropped, Reserved, Settled};
        assert_eq!(used(&[line(Reserved, 1, 100)]), (1, 100, 1));
        assert_eq!(used(&[line(Reserved, 1, 100), line(Settled, 1, 7)]), (1, 7, 0));
        assert_eq!(used(&[line(Reserved, 1, 100), line(Dropped, 1, 0)]), (0, 0, 0));
        // The worker was killed before the answer, and the step was requested again.
        let killed = [line(Reserved, 1, 100), line(Reserved, 1, 120), line(Settled, 1, 7)];
        assert_eq!((used(&killed[..2]), used(&killed)), ((2, 120, 1), (2, 7, 0)));
        // The second request was never sent: the usage of the first one is still unknown.
        let dropped = [line(Reserved, 1, 100), line(Reserved, 1, 120), line(Dropped, 1, 0)];
        assert_eq!(used(&dropped), (1, 120, 1));
        // The worker was killed between the two files: both requests were paid for.
        let twice = [&killed[1..], &killed[1..]].concat();
        assert_eq!(used(&twice), (2, 14, 0));
        // Without a budget there are no reservations.
        assert_eq!(used(&[line(Settled, 1, 7)]), (1, 7, 0));
    }

    #[test]
    fn request_counts_on_the_day_it_was_sent() {
        let tomorrow = |line: LedgerLine| LedgerLine { day: "2026-11-26".into(), ..line };
        let lines = [
            line(LedgerKind::Reserved, 1, 100),
            tomorrow(line(LedgerKind::Reserved, 1, 90)),
            tomorrow(line(LedgerKind::Settled, 1, 7)),
        ];
        let ledger = ledger(&lines);
        let [first, second] = [DAY, "2026-11-26"].map(|day| ledger.used(Some(day), None));
        assert_eq!((first.calls, first.usage.input), (1, 0));
        assert_eq!((second.calls, second.usage.input), (1, 7));
    }

    #[test]
    fn line_is_flat_json_and_an_unknown_kind_is_ignored() {
        let text = serde_json::to_string(&line(LedgerKind::Settled, 1, 7)).unwrap();
        assert!(text.contains(r#""t":"settled""#) && text.contains(r#""input":7"#), "{text}");
        assert_eq!(serde_json::from_str::<LedgerLine>(&text).unwrap(), line(LedgerKind::Settled, 1, 7));
        let newer: LedgerLine = serde_json::from_str(r#"{"t":"refunded","day":"2026-11-25","input":9}"#).unwrap();
        assert_eq!(used(&[newer]), (0, 0, 0));
    }

    #[test]
    fn wire_names_are_stable() {
        let text = r#"{"t":"told","day":"2026-11-25","guess":true,"limit":"total-calls-1-"}"#;
        let notice: LedgerLine = serde_json::from_str(text).unwrap();
        assert_eq!((notice.kind, notice.is_estimated), (LedgerKind::Notified, true));
        let saved = serde_json::to_value(ledger(&[notice, line(LedgerKind::Reserved, 1, 5)])).unwrap();
        assert_eq!(saved["told"][0], "total-calls-1-");
        assert_eq!(saved["days"][DAY]["pickle"]["guesses"], 1);
    }

    proptest! {
        #[test]
        fn folding_days_changes_no_sum(
            lines in proptest::collection::vec((0..3usize, 0..4i64, 1..100u64, 0..4u8), 0..40), at in 0..40usize,
        ) {
            let lines: Vec<LedgerLine> = lines
                .into_iter()
                .map(|(kind, n, input, day)| LedgerLine {
                    day: format!("2026-11-2{day}"),
                    ..line([LedgerKind::Reserved, LedgerKind::Settled, LedgerKind::Dropped][kind], n, input)
                })
                .collect();
            let mut folded = Ledger::default();
            for (n, line) in lines.iter().enumerate() {
                if n == at {
                    folded.fold("2026-11-22");
                }
                folded.add(line.clone(), "pickle");
            }
            prop_assert_eq!(folded.used(None, None), ledger(&lines).used(None, None));
        }
    }
}
