//! The lanes of a pool: queued, idle, in progress here, or locked by another process. The queue never reads the disk.
//! It records listings and notifications; a lane's version proves its view before the pool relies on it.

use crate::core::event::entry::Entry;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::stage::worker::handler::Handler;
use crate::store::workspace::mailbox::State;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// The content of one lane: its last listing, and the events that arrived since.
#[derive(Debug)]
pub struct LaneView {
    /// Its name.
    pub lane: String,
    /// The version of its lock to which the view applies; `None` if the lane must be listed.
    pub version: Option<u64>,
    /// Its events, lowest id first.
    pub entries: Vec<(State, Entry)>,
}

impl LaneView {
    fn add(&mut self, state: State, entry: Entry) {
        let at = self.entries.partition_point(|(_, known)| known.id < entry.id);
        match self.entries.get(at).filter(|(_, known)| known.id == entry.id) {
            // The event was moved: the lane must be listed.
            Some(known) if *known != (state, entry.clone()) => self.version = None,
            Some(_) => {}
            None => self.entries.insert(at, (state, entry)),
        }
    }
}

/// The state of a lane.
#[derive(Debug)]
enum LaneState {
    /// It waits for its turn.
    Queued(LaneView),
    /// It is empty, or its head is not due.
    Idle(LaneView),
    /// A worker of this pool holds it. These events arrived meanwhile.
    Working(Vec<(State, Entry)>),
    /// As `Working`, but notifications of arrivals may have been lost.
    WorkingUnsure,
    /// Another worker or process holds it.
    Locked,
}

/// The lanes that a pool handles.
pub struct LaneQueue<'w> {
    handler: &'w dyn Handler,
    lanes: HashMap<String, LaneState>,
    /// The queued lanes, by the key that limits them.
    order: BTreeMap<String, VecDeque<String>>,
    /// The keys without a free slot.
    full: HashSet<String>,
    /// Lanes that were found locked, in that order.
    locked: Vec<String>,
    turn: usize,
}

impl<'w> LaneQueue<'w> {
    /// A queue without lanes.
    #[must_use]
    pub fn new(handler: &'w dyn Handler) -> Self {
        Self {
            handler,
            lanes: HashMap::new(),
            order: BTreeMap::new(),
            full: HashSet::new(),
            locked: Vec::new(),
            turn: 0,
        }
    }

    /// Whether no lane is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether no queued lane has a free slot.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.order.keys().all(|key| self.full.contains(key))
    }

    /// Takes over a listing of the mailbox: the lanes that have events, in the order of their turns.
    pub fn listed(&mut self, views: impl Iterator<Item = LaneView>) {
        self.clear();
        for view in views {
            match self.lanes.get_mut(&view.lane) {
                Some(LaneState::Working(arrived)) => *arrived = view.entries,
                _ => self.push(view),
            }
        }
    }

    /// Forgets all lanes but the empty ones and those in progress.
    pub fn clear(&mut self) {
        self.order.clear();
        self.full.clear();
        self.locked.clear();
        self.lanes.retain(|_, state| match state {
            LaneState::Idle(view) => view.entries.is_empty(),
            LaneState::Working(_) | LaneState::WorkingUnsure => true,
            LaneState::Queued(_) | LaneState::Locked => false,
        });
    }

    /// Notifications may have been lost: every lane must be listed.
    pub fn invalidate(&mut self) {
        self.clear();
        self.lanes.retain(|_, state| matches!(state, LaneState::Working(_) | LaneState::WorkingUnsure));
        self.lanes.values_mut().for_each(|state| *state = LaneState::WorkingUnsure);
    }

    /// Adds an event that has arrived in `ready`. False if its lane is not known, so that it must be listed.
    pub fn arrived(&mut self, entry: Entry) -> bool {
        let lane = entry.lane.clone();
        match self.lanes.remove(&lane) {
            Some(LaneState::Idle(mut view)) => {
                view.add(State::Ready, entry);
                self.push(view);
                return true;
            }
            Some(LaneState::Queued(mut view)) => {
                view.add(State::Ready, entry);
                self.lanes.insert(lane, LaneState::Queued(view));
            }
            Some(LaneState::Working(mut arrived)) => {
                arrived.push((State::Ready, entry));
                self.lanes.insert(lane, LaneState::Working(arrived));
            }
            // The lane is listed when its worker, or the other process, is done.
            Some(other) => drop(self.lanes.insert(lane, other)),
            None => return false,
        }
        true
    }

    /// A lane was released, by this process or another. True if it must be listed.
    pub fn lane_released(&mut self, lane: &str) -> bool {
        match self.lanes.remove(lane) {
            // Its head may have been moved away, which the version shows.
            Some(LaneState::Idle(view)) if !view.entries.is_empty() => self.push(view),
            Some(LaneState::Locked) | None => return true,
            Some(other) => drop(self.lanes.insert(lane.to_owned(), other)),
        }
        false
    }

    /// Slots were released.
    pub fn slots_released(&mut self) {
        self.full.clear();
    }

    /// Takes the next lane for a worker. The keys take turns, and within a key the lanes do.
    pub fn next(&mut self) -> Option<LaneView> {
        let keys: Vec<&String> = self.order.keys().filter(|key| !self.full.contains(*key)).collect();
        self.turn = self.turn.wrapping_add(1);
        let key = (*keys.get(self.turn.checked_rem(keys.len())?)?).clone();
        let names = self.order.get_mut(&key)?;
        let lane = names.pop_front();
        if names.is_empty() {
            self.order.remove(&key);
        }
        let lane = lane?;
        match self.lanes.insert(lane.clone(), LaneState::Working(Vec::new())) {
            Some(LaneState::Queued(view)) => Some(view),
            _ => Some(LaneView { lane, version: None, entries: Vec::new() }),
        }
    }

    /// The lane was found locked.
    pub fn locked_elsewhere(&mut self, lane: String) {
        self.locked.push(lane.clone());
        self.lanes.insert(lane, LaneState::Locked);
    }

    /// Queues the lanes that were found locked once more, before any lane that had a turn since.
    pub fn retry_locked(&mut self) {
        for lane in std::mem::take(&mut self.locked) {
            if matches!(self.lanes.get(&lane), Some(LaneState::Locked)) {
                self.push(LaneView { lane, version: None, entries: Vec::new() });
            }
        }
    }

    /// Forgets a lane, so that only a listing brings it back.
    pub fn forget(&mut self, lane: &str) {
        self.lanes.remove(lane);
    }

    /// The lane is empty, or its head is not due.
    pub fn idle(&mut self, view: LaneView) {
        self.lanes.insert(view.lane.clone(), LaneState::Idle(view));
    }

    /// The lane's key has no free slot. The lane keeps its turn.
    pub fn no_slot(&mut self, view: LaneView) {
        let key = self.handler.limit_key(&view.lane).to_owned();
        self.full.insert(key.clone());
        self.order.entry(key).or_default().push_front(view.lane.clone());
        self.lanes.insert(view.lane.clone(), LaneState::Queued(view));
    }

    /// Event `id` has ended, and its lane goes to the end of the queue. False if the lane must be listed.
    pub fn finished(&mut self, mut view: LaneView, id: &Id) -> bool {
        let Some(LaneState::Working(arrived)) = self.lanes.remove(&view.lane) else { return false };
        arrived.into_iter().filter(|(_, entry)| entry.id != *id).for_each(|(state, entry)| view.add(state, entry));
        if view.entries.is_empty() {
            self.idle(view);
        } else {
            self.push(view);
        }
        true
    }

    /// Event `id` has failed and is retried when it is due. The new name of its file is not known, so the lane is
    /// listed before it is served next.
    pub fn retries_later(&mut self, mut view: LaneView, id: &Id, due: Stamp) {
        let mut head = Entry::fresh(id.clone(), view.lane.clone());
        head.due = Some(due);
        if let Some(LaneState::Working(arrived)) = self.lanes.remove(&view.lane) {
            for (state, entry) in arrived {
                view.add(state, entry);
            }
        }
        view.entries.retain(|(_, entry)| entry.id != *id);
        view.entries.insert(0, (State::Wait, head));
        view.version = None;
        self.idle(view);
    }

    fn push(&mut self, view: LaneView) {
        let key = self.handler.limit_key(&view.lane).to_owned();
        self.order.entry(key).or_default().push_back(view.lane.clone());
        self.lanes.insert(view.lane.clone(), LaneState::Queued(view));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::entry::Tries;
    use crate::core::fault::Result;
    use crate::stage::outcome::Outcome;
    use crate::store::lock::Lane;
    use crate::store::queue::spool::Job;
    use crate::store::workspace::mailbox::Mailbox;

    /// Lanes named `<key>.<rest>`.
    struct Named;

    impl Handler for Named {
        fn mailbox(&self) -> Mailbox {
            Mailbox::Inbox
        }
        fn handles(&self, _: &str) -> bool {
            true
        }
        fn limit_key<'a>(&self, lane: &'a str) -> &'a str {
            lane.split('.').next().unwrap()
        }
        fn slots(&self, _: &str) -> Result<Vec<(String, u32)>> {
            Ok(Vec::new())
        }
        fn run(&self, _: Job, _: &Lane) -> Outcome {
            unreachable!("a queue runs no handler")
        }
    }

    fn entry(number: i64, lane: &str) -> Entry {
        Entry::fresh(Id::new(Stamp(number), 0), lane)
    }

    fn view(lane: &str, numbers: &[i64]) -> LaneView {
        let entries = numbers.iter().map(|n| (State::Ready, entry(*n, lane))).collect();
        LaneView { lane: lane.to_owned(), version: Some(2), entries }
    }

    fn queue(views: Vec<LaneView>) -> LaneQueue<'static> {
        let mut queue = LaneQueue::new(&Named);
        queue.listed(views.into_iter());
        queue
    }

    fn names(queue: &mut LaneQueue) -> Vec<String> {
        std::iter::from_fn(|| queue.next()).map(|view| view.lane).collect()
    }

    fn ids(view: &LaneView) -> Vec<i64> {
        view.entries.iter().map(|(_, entry)| entry.id.stamp().0).collect()
    }

    #[test]
    fn keys_take_turns_and_lanes_take_turns_within_a_key() {
        let mut queue = queue(vec![view("a.1", &[1]), view("a.2", &[2]), view("a.3", &[3]), view("b.1", &[4])]);
        let order = names(&mut queue);
        assert!(order[..2].contains(&"b.1".to_owned()), "{order:?}");
        let of_a: Vec<&String> = order.iter().filter(|lane| lane.starts_with('a')).collect();
        assert_eq!(of_a, ["a.1", "a.2", "a.3"]);
    }

    #[test]
    fn event_that_arrives_in_an_idle_lane_needs_no_listing() {
        let mut queue = queue(vec![view("a.1", &[1])]);
        let mut begun = queue.next().unwrap();
        begun.entries.clear();
        assert!(queue.finished(begun, &entry(1, "a.1").id));
        assert!(queue.next().is_none());
        assert!(queue.arrived(entry(9, "a.1")) && queue.arrived(entry(5, "a.1")));
        let view = queue.next().unwrap();
        assert_eq!((view.version, ids(&view)), (Some(2), vec![5, 9]));
        assert!(!queue.arrived(entry(7, "a.new")), "the lane is not known");
    }

    #[test]
    fn event_that_arrives_while_a_lane_is_in_progress_is_served_next() {
        let mut queue = queue(vec![view("a.1", &[1, 3])]);
        let mut begun = queue.next().unwrap();
        begun.entries.remove(0);
        // The event in progress, reported late, is not new; another event is.
        assert!(queue.arrived(entry(1, "a.1")) && queue.arrived(entry(2, "a.1")));
        assert!(queue.next().is_none(), "no other worker gets the lane");
        assert!(queue.finished(begun, &entry(1, "a.1").id));
        assert_eq!(ids(&queue.next().unwrap()), [2, 3]);
    }

    #[test]
    fn moved_event_invalidates_the_view() {
        let mut queue = queue(vec![view("a.1", &[1, 2])]);
        queue.arrived(entry(2, "a.1"));
        queue.arrived(Entry { tries: Tries { rounds: 1, ..Tries::default() }, ..entry(1, "a.1") });
        let view = queue.next().unwrap();
        assert_eq!((view.version, ids(&view)), (None, vec![1, 2]));
    }

    #[test]
    fn lost_notifications_require_a_listing() {
        let mut queue = queue(vec![view("a.1", &[1]), view("a.2", &[2])]);
        let begun = queue.next().unwrap();
        queue.invalidate();
        assert!(queue.is_empty());
        assert!(!queue.arrived(entry(5, "a.2")), "an earlier event may be there");
        assert!(!queue.finished(begun, &entry(1, "a.1").id));
        assert!(!queue.arrived(entry(6, "a.1")));
    }

    #[test]
    fn idle_lane_is_forgotten_after_lost_notifications() {
        let mut queue = queue(vec![view("a.1", &[1])]);
        let mut begun = queue.next().unwrap();
        begun.entries.clear();
        assert!(queue.finished(begun, &entry(1, "a.1").id));
        queue.invalidate();
        assert!(queue.lanes.is_empty(), "only lanes in progress are kept");
    }

    #[test]
    fn release_requires_a_listing_if_the_lane_was_locked_or_unknown() {
        let mut queue = queue(vec![view("a.1", &[1])]);
        let mut begun = queue.next().unwrap();
        assert!(!queue.lane_released("a.1"), "a worker of this pool holds it");
        begun.entries.clear();
        assert!(queue.finished(begun, &entry(1, "a.1").id));
        assert!(!queue.lane_released("a.1"), "it is empty, and arrivals are reported");
        queue.locked_elsewhere("a.1".to_owned());
        assert!(queue.lane_released("a.1"));
        assert!(queue.lane_released("a.1"));
    }

    #[test]
    fn locked_lane_is_retried_before_another_has_its_second_turn() {
        let mut queue = queue(vec![view("a.1", &[1]), view("a.2", &[2, 3])]);
        let held = queue.next().unwrap();
        queue.locked_elsewhere(held.lane);
        let mut begun = queue.next().unwrap();
        assert!(queue.next().is_none(), "a locked lane is not retried until something changes");
        begun.entries.remove(0);
        queue.retry_locked();
        queue.finished(begun, &entry(2, "a.2").id);
        let again = queue.next().unwrap();
        assert_eq!((again.lane.as_str(), again.version), ("a.1", None), "the lane must be listed");
        assert_eq!(names(&mut queue), ["a.2"]);
    }

    #[test]
    fn lane_with_a_waiting_head_is_served_after_a_release_or_an_arrival() {
        let mut queue = queue(vec![view("a.1", &[1, 2])]);
        let mut begun = queue.next().unwrap();
        begun.entries.remove(0);
        queue.arrived(entry(3, "a.1"));
        queue.retries_later(begun, &entry(1, "a.1").id, Stamp(99));
        assert!(queue.is_empty());
        assert!(!queue.lane_released("a.1"));
        let view = queue.next().unwrap();
        assert_eq!((view.version, ids(&view)), (None, vec![1, 2, 3]));
        queue.idle(view);
        assert!(queue.arrived(entry(4, "a.1")));
        assert_eq!(ids(&queue.next().unwrap()), [1, 2, 3, 4]);
    }

    #[test]
    fn key_without_slots_keeps_its_turns_and_delays_no_other() {
        let mut queue = queue(vec![view("a.1", &[1]), view("a.2", &[2]), view("b.1", &[3])]);
        let first = std::iter::from_fn(|| queue.next()).find(|view| view.lane == "a.1").unwrap();
        queue.no_slot(first);
        assert!(!names(&mut queue).contains(&"a.1".to_owned()));
        assert!(queue.is_full() && !queue.is_empty());
        queue.slots_released();
        assert_eq!(queue.next().unwrap().lane, "a.1");
    }

    #[test]
    fn listing_updates_the_rest_of_a_lane_in_progress() {
        let mut queue = queue(vec![view("a.1", &[1])]);
        let mut begun = queue.next().unwrap();
        begun.entries.clear();
        queue.listed([view("a.1", &[1, 4]), view("b.1", &[2])].into_iter());
        assert_eq!(names(&mut queue), ["b.1"]);
        assert!(queue.finished(begun, &entry(1, "a.1").id));
        assert_eq!(ids(&queue.next().unwrap()), [4]);
    }
}
