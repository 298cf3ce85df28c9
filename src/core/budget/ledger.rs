//! The ledger of what the models were asked and what it took: its lines, and what they sum up to. A step of a
//! turn is reserved before each request; every request counts as a call, and the tokens of a step are the
//! reserved ones until they are settled. What was settled is a fact, also where the step is asked again; a request
//! that was broken off is settled as it was reserved. Only of one whose worker was killed is nothing known: its
//! tokens are given back when its step is asked again.

use crate::core::budget::ledger_line::{CALL, LedgerKind, LedgerLine, Sums};
use crate::core::event::id::Id;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What the lines sum up to, by day and by a label: the agent, for budgets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    days: BTreeMap<String, BTreeMap<String, Sums>>,
    open: Vec<Reservation>,
    #[serde(rename = "told")]
    notified: BTreeSet<String>,
}

/// What is reserved and not settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reservation {
    line: LedgerLine,
    label: String,
    /// A request for this step has left before this one, and nobody knows what came of it.
    is_again: bool,
}

impl Ledger {
    /// Takes a line in, under a label.
    pub fn add(&mut self, line: LedgerLine, label: &str) {
        match line.kind {
            LedgerKind::Reserved => {
                let before = self.close(&line);
                if let Some(before) = &before {
                    // That request has left, and this one is in its place.
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
                // What the one before it took is still unknown; its own call was counted when this one came.
                if let Some(open) = self.close(&line).filter(|open| open.is_again) {
                    let took = Sums { calls: 0, ..open.line.sums() };
                    self.change(&open.line.day, &open.label, |sums| sums.add(&took));
                }
            }
            LedgerKind::Notified => self.notified.extend(line.limit),
            LedgerKind::Unknown => {}
        }
    }

    /// Takes out what is reserved for the step of this line.
    fn close(&mut self, line: &LedgerLine) -> Option<Reservation> {
        let at = self.open.iter().position(|open| open.line.is_for(line.id.as_ref(), line.step))?;
        let open = self.open.swap_remove(at);
        self.change(&open.line.day, &open.label, |sums| sums.subtract(&open.line.sums()));
        Some(open)
    }

    fn change(&mut self, day: &str, label: &str, change: impl FnOnce(&mut Sums)) {
        change(self.days.entry(day.to_owned()).or_default().entry(label.to_owned()).or_default());
    }

    /// What is reserved for a step, and not settled.
    #[must_use]
    pub fn reserved(&self, id: Option<&Id>, step: u32) -> Option<&LedgerLine> {
        self.open.iter().map(|open| &open.line).find(|line| line.is_for(id, step))
    }

    /// What was used on a day, or in all; under a label, or by all.
    #[must_use]
    pub fn used(&self, day: Option<&str>, label: Option<&str>) -> Sums {
        let mut sums = Sums::default();
        let days = self.days.iter().filter(|(of, _)| day.is_none_or(|day| day == *of));
        let labels = days.flat_map(|(_, labels)| labels).filter(|(of, _)| label.is_none_or(|label| label == *of));
        labels.for_each(|(_, part)| sums.add(part));
        sums
    }

    /// The days and, of each, the labels.
    pub fn days(&self) -> impl Iterator<Item = (&str, &str, &Sums)> {
        self.days.iter().flat_map(|(day, labels)| labels.iter().map(move |(label, sums)| (&day[..], &label[..], sums)))
    }

    /// Whether the owner was told of a limit.
    #[must_use]
    pub fn is_notified(&self, mark: &str) -> bool {
        self.notified.contains(mark)
    }

    /// Puts all days before `day` together: nobody requested for one of them any more.
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
        self.notified.retain(|mark| **mark >= *day || mark.starts_with("total"));
    }
}

/// What was read of the ledger's files, and how far: what a process keeps of them, and what is written down
/// so that the next one need not read them all.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LedgerState {
    /// The shape of this.
    pub v: u32,
    /// The day of the file that was read last.
    pub file: String,
    /// That file's inode.
    pub inode: u64,
    /// How much of it was read, in bytes.
    pub read: u64,
    /// What it all comes to.
    pub ledger: Ledger,
    /// How much was read since this was written down, in bytes.
    #[serde(skip)]
    pub unsaved: u64,
    /// The file whose name this process knows to be durable.
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
    fn every_request_is_a_call_and_the_tokens_of_a_step_are_the_last_known() {
        use LedgerKind::{Dropped, Reserved, Settled};
        assert_eq!(used(&[line(Reserved, 1, 100)]), (1, 100, 1));
        assert_eq!(used(&[line(Reserved, 1, 100), line(Settled, 1, 7)]), (1, 7, 0));
        assert_eq!(used(&[line(Reserved, 1, 100), line(Dropped, 1, 0)]), (0, 0, 0));
        // Killed before the answer, and asked again.
        let killed = [line(Reserved, 1, 100), line(Reserved, 1, 120), line(Settled, 1, 7)];
        assert_eq!((used(&killed[..2]), used(&killed)), ((2, 120, 1), (2, 7, 0)));
        // The second one never left: what the first one took is as unknown as before.
        let held = [line(Reserved, 1, 100), line(Reserved, 1, 120), line(Dropped, 1, 0)];
        assert_eq!(used(&held), (1, 120, 1));
        // Killed between the two files: it was paid for twice.
        let twice = [&killed[1..], &killed[1..]].concat();
        assert_eq!(used(&twice), (2, 14, 0));
        // Without a budget nothing is reserved.
        assert_eq!(used(&[line(Settled, 1, 7)]), (1, 7, 0));
    }

    #[test]
    fn what_left_yesterday_is_yesterdays() {
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
    fn a_line_is_flat_and_one_of_a_newer_program_is_passed_over() {
        let text = serde_json::to_string(&line(LedgerKind::Settled, 1, 7)).unwrap();
        assert!(text.contains(r#""t":"settled""#) && text.contains(r#""input":7"#), "{text}");
        assert_eq!(serde_json::from_str::<LedgerLine>(&text).unwrap(), line(LedgerKind::Settled, 1, 7));
        let newer: LedgerLine = serde_json::from_str(r#"{"t":"refunded","day":"2026-11-25","input":9}"#).unwrap();
        assert_eq!(used(&[newer]), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn putting_days_together_changes_no_sum(
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
