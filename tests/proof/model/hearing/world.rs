//! Publishers, a person, time, and kills.

use super::queue::Pool;
use super::{Hearing, LANES, Mutant, NONE, News, PERSON, Person, Spot, State, WORLD, events_of, lane_of};
use crate::model::Steps;

impl Hearing {
    pub fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub fn publishes(&self, state: &State, event: usize) -> bool {
        let mut mine = events_of(lane_of(event)).filter(|event| self.events.contains(event));
        mine.find(|event| state.spots[*event] == Spot::No) == Some(event)
    }

    pub fn world(&self, state: &State, steps: &mut Steps<State>) {
        if self.is_told {
            for event in self.events.iter().copied().filter(|event| self.publishes(state, *event)) {
                let mut to = *state;
                to.arrive(event);
                steps.push(WORLD, "publish", to);
            }
        }
        for event in self.events.iter().copied().filter(|event| state.spots[*event] == Spot::Wait && !state.due[*event])
        {
            let mut to = *state;
            to.due[event] = true;
            steps.push(WORLD, "it is due", to);
        }
        for event in self.events.iter().copied().filter(|event| state.spots[*event] == Spot::Out) {
            let mut to = *state;
            to.is_back[event] = true;
            to.arrive(event);
            steps.push(PERSON, "move it back", to);
        }
        if let Some(event) = state.person {
            let mut to = State { person: None, ..*state };
            if state.spots[event] == Spot::Wait {
                if self.person == Person::Discard {
                    to.spots[event] = Spot::Done;
                } else {
                    to.arrive(event);
                }
            }
            to.release(lane_of(event));
            steps.push(PERSON, "move it and let go", to);
        }
    }

    /// All actions of a person, including none.
    pub fn acts(&self, state: &State, steps: &mut Steps<State>) {
        for event in self.events.iter().copied().filter(|_| state.acts > 0) {
            let mut to = State { acts: state.acts - 1, ..*state };
            match (self.person, state.spots[event]) {
                (Person::Out, Spot::Ready) => {
                    to.spots[event] = Spot::Out;
                    steps.push(PERSON, "move it out", to);
                }
                (Person::Hand, Spot::Wait) => {
                    to.arrive(event);
                    steps.push(PERSON, "move it by hand", to);
                }
                (Person::Retry | Person::Discard, Spot::Wait) if state.holders[lane_of(event)].is_none() => {
                    to.holders[lane_of(event)] = Some(PERSON);
                    to.take(lane_of(event));
                    to.person = Some(event);
                    steps.push(PERSON, "lock the lane", to);
                }
                _ => {}
            }
        }
    }

    pub fn kill(&self, state: &State, who: usize) -> State {
        let mut to = State { kills: state.kills - 1, ..*state };
        let silent = to.pools[who].tries().filter(|_| self.is(Mutant::LateArm));
        if who == 0 {
            to.news = NONE;
        }
        to.pools[who] = Pool::off(self.is_told && who == 0);
        to.free_slot(who);
        for lane in (0..LANES).filter(|lane| state.holders[*lane] == Some(who)) {
            to.holders[lane] = None;
            if silent != Some(lane) {
                to.tell(News::Freed(lane));
            }
        }
        to
    }
}
