//! From claw to Discord: one destination is one lane.

use super::Bridge;
use crate::exit::Exit;
use crate::ledger::Ledger;
use crate::lines::SendLine;
use crate::place::{Kind, Place};
use crate::send::{Attempt, Sender};
use crate::wire::Snowflake;
use std::collections::VecDeque;

impl Bridge {
    pub(super) fn send(&mut self, line: SendLine) {
        if let Some(waiting) = self.lanes.get_mut(&line.to) {
            waiting.push_back(line);
            return;
        }
        self.lanes.insert(line.to.clone(), VecDeque::new());
        self.start_send(line);
    }

    fn start_send(&mut self, line: SendLine) {
        let known = self.known(&line.to);
        let sender = Sender { rest: self.rest.clone(), store: self.store.clone(), output: self.output.clone() };
        self.sends.spawn(sender.deliver(line, known));
    }

    /// The channel of a destination that is a known place.
    fn known(&self, to: &str) -> Option<Snowflake> {
        let id = Snowflake::parse(to.rsplit_once('/').map_or(to, |(_, thread)| thread))?;
        if self.places.contains_key(&id) {
            return Some(id);
        }
        let is_direct = |place: &Place| place.kind == Some(Kind::Direct(id));
        self.places.iter().find(|(_, place)| is_direct(place)).map(|(at, _)| *at)
    }

    pub(super) fn attempted(&mut self, attempt: Attempt) -> Result<(), Exit> {
        if let Some((at, user)) = attempt.opened
            && !self.places.contains_key(&at)
        {
            // Its answers count, also those that come while the program does not run.
            let mut place = Place::new(Some(Kind::Direct(user)), Ledger::new(self.first_floor()));
            place.is_dirty = true;
            self.places.insert(at, place);
            if self.is_listed {
                self.enqueue(at);
            }
        }
        if let Some(exit) = attempt.exit {
            return Err(exit);
        }
        match self.lanes.get_mut(&attempt.to).and_then(VecDeque::pop_front) {
            Some(next) => self.start_send(next),
            None => drop(self.lanes.remove(&attempt.to)),
        }
        Ok(())
    }
}
