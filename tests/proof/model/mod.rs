//! Common parts of the models of the event protocol. A model is a few processes and the files between them;
//! one step is one system call of one process, and a process may be killed between any two: its locks are
//! free then, its files stay, and another process begins in its place.
//!
//! Stateright exhausts the states and searches for one that breaks a rule, or that is unfinished and has no further
//! step. A second walk over the same states, without any kill, shows that every one of them can still reach its
//! end.

pub mod deliver;
pub mod dispatch;
pub mod hearing;
pub mod lane;
pub mod lock;
pub mod route;
pub mod schedule;
pub mod slots;

use stateright::{Checker, HasDiscoveries, Model, Property};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hash;

/// More steps than any model has, so that unbounded growth of a model is an error and no hang.
const TOO_MANY: usize = 20_000_000;
const SAFE: &str = "no rule is broken";
pub const ALIVE: &str = "what is unfinished can go on";

/// One step of one process.
#[derive(Clone, Debug, PartialEq)]
pub struct Step<S> {
    /// The process.
    pub who: usize,
    /// The system call, in a word or two.
    pub what: &'static str,
    /// The state after it.
    pub to: S,
}

/// A growing list of steps.
pub struct Steps<S>(Vec<Step<S>>);

impl<S> Steps<S> {
    pub fn push(&mut self, who: usize, what: &'static str, to: S) {
        self.0.push(Step { who, what, to });
    }
}

/// A model of a part of the protocol.
pub trait Protocol: Clone + Send + Sync + 'static {
    type State: Copy + Debug + Eq + Hash + Send + Sync + 'static;

    fn start(&self) -> Self::State;
    /// Every step of every process, except kills from outside.
    fn steps(&self, state: &Self::State, steps: &mut Steps<Self::State>);
    /// Every possible kill, while the model's budget of kills lasts.
    fn kills(&self, state: &Self::State, steps: &mut Steps<Self::State>);
    /// The rule that the state breaks.
    fn broken(&self, state: &Self::State) -> Option<&'static str>;
    /// The representative of states that differ only in the names of processes.
    fn canonical(&self, state: Self::State) -> Self::State {
        state
    }
    /// All work has ended.
    fn is_over(&self, state: &Self::State) -> bool;
}

#[derive(Clone)]
struct Checked<P>(P);

impl<P: Protocol> Checked<P> {
    fn moves(&self, state: &P::State) -> Vec<Step<P::State>> {
        let mut steps = Steps(Vec::new());
        self.0.steps(state, &mut steps);
        steps.0
    }
}

impl<P: Protocol> Model for Checked<P> {
    type State = P::State;
    type Action = Step<P::State>;

    fn init_states(&self) -> Vec<Self::State> {
        vec![self.0.canonical(self.0.start())]
    }

    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>) {
        let mut steps = Steps(std::mem::take(actions));
        self.0.steps(state, &mut steps);
        self.0.kills(state, &mut steps);
        *actions = steps.0;
    }

    fn next_state(&self, _: &Self::State, action: Self::Action) -> Option<Self::State> {
        Some(self.0.canonical(action.to))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SAFE, |model, state| model.0.broken(state).is_none()),
            Property::always(ALIVE, |model, state| model.0.is_over(state) || !model.moves(state).is_empty()),
        ]
    }
}

/// The result of a walk over every state.
#[derive(Debug)]
pub struct Seen {
    /// The number of states.
    pub states: usize,
    /// Every step that occurred.
    pub steps: BTreeSet<&'static str>,
}

/// A rule that is broken, and the way there.
#[derive(Debug)]
pub struct Counterexample {
    pub rule: &'static str,
    pub way: Vec<String>,
}

/// Visits every state of `protocol`.
pub fn exhaust<P: Protocol>(protocol: &P) -> Result<Seen, Counterexample> {
    let model = Checked(protocol.clone());
    let checker = model.clone().checker().finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.target_state_count(TOO_MANY).spawn_bfs().join();
    assert!(checker.state_count() < TOO_MANY, "the model has no end");
    if let Some((_, path)) = checker.discoveries().into_iter().min_by_key(|(name, _)| *name != SAFE) {
        let rule = protocol.broken(path.last_state()).unwrap_or(ALIVE);
        return Err(Counterexample { rule, way: path.into_actions().iter().map(told).collect() });
    }
    let seen = can_end(&model)?;
    assert_eq!(seen.states, checker.unique_state_count(), "two states have one fingerprint");
    Ok(seen)
}

fn told<S>(step: &Step<S>) -> String {
    format!("{}: {}", step.who, step.what)
}

/// Whether every state has a way to an end without kills: no deadlock of some of the processes, and no
/// livelock.
fn can_end<P: Protocol>(model: &Checked<P>) -> Result<Seen, Counterexample> {
    let start = model.0.canonical(model.0.start());
    let mut known = HashMap::from([(start, 0usize)]);
    let mut states = vec![start];
    let mut came_by = vec![None];
    let mut before: Vec<Vec<usize>> = vec![Vec::new()];
    let mut seen = BTreeSet::new();
    let mut at = 0;
    while let Some(state) = states.get(at).copied() {
        let mut steps = Steps(model.moves(&state));
        let unkilled = steps.0.len();
        model.0.kills(&state, &mut steps);
        for (number, step) in steps.0.into_iter().enumerate() {
            seen.insert(step.what);
            let to = model.0.canonical(step.to);
            let next = *known.entry(to).or_insert(states.len());
            if next == states.len() {
                states.push(to);
                came_by.push(Some((at, format!("{}: {}", step.who, step.what))));
                before.push(Vec::new());
            }
            if number < unkilled {
                before[next].push(at);
            }
        }
        at += 1;
    }
    let mut ends: Vec<bool> = states.iter().map(|state| model.0.is_over(state)).collect();
    let mut open: Vec<usize> = (0..states.len()).filter(|n| ends[*n]).collect();
    assert!(!open.is_empty(), "the model has no end at all");
    while let Some(at) = open.pop() {
        for earlier in std::mem::take(&mut before[at]) {
            if !std::mem::replace(&mut ends[earlier], true) {
                open.push(earlier);
            }
        }
    }
    let Some(mut at) = ends.iter().position(|ends| !ends) else {
        return Ok(Seen { states: states.len(), steps: seen });
    };
    let mut way = Vec::new();
    while let Some((earlier, step)) = came_by[at].take() {
        way.push(step);
        at = earlier;
    }
    way.reverse();
    Err(Counterexample { rule: "every state can come to its end", way })
}
