//! What a pool knows about its lanes: which wait for their turn and with what, which rest, which are
//! being worked on, here or elsewhere. It never looks at the disk: what was listed and what has come
//! since is told to it, and every view is proved by its lane's version before it is relied on.

use crate::core::event::entry::Entry;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::stage::worker::handler::Handler;
use crate::store::workspace::mailbox::State;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// One lane as it was listed, with what has come since.
#[derive(Debug)]
pub struct View {
    /// Its name.
    pub lane: String,
    /// The version of its lock for which this is true.
    pub version: Option<u64>,
    /// What waits in it, lowest id first.
    pub entries: Vec<(State, Entry)>,
}

impl View {
    fn add(&mut self, state: State, entry: Entry) {
        let at = self.entries.partition_point(|(_, known)| known.id < entry.id);
        match self.entries.get(at).filter(|(_, known)| known.id == entry.id) {
            // It has been moved about: only a listing can tell.
            Some(known) if *known != (state, entry.clone()) => self.version = None,
            Some(_) => {}
            None => self.entries.insert(at, (state, entry)),
        }
    }
}

/// Where a lane stands.
#[derive(Debug)]
enum LaneState {
    /// It waits for its turn.
    Queued(View),
    /// Nothing can be done in it now: it is empty, or its head is not due.
    Resting(View),
    /// One of our workers has it; this has come meanwhile.
    Here(Vec<(State, Entry)>),
    /// The same, but something that came may have been missed.
    Unsure,
    /// Somebody else holds it.
    Elsewhere,
}

/// All lanes of one box that a pool has to do with.
pub struct LaneQueue<'w> {
    work: &'w dyn Handler,
    lanes: HashMap<String, LaneState>,
    /// The lanes that wait for their turn, by the key that limits them.
    order: BTreeMap<String, VecDeque<String>>,
    /// The keys whose slots are all taken.
    full: HashSet<String>,
    /// Lanes that somebody else held.
    aside: Vec<String>,
    turn: usize,
}

impl<'w> LaneQueue<'w> {
    /// Nothing is known.
    #[must_use]
    pub fn new(work: &'w dyn Handler) -> Self {
        Self { work, lanes: HashMap::new(), order: BTreeMap::new(), full: HashSet::new(), aside: Vec::new(), turn: 0 }
    }

    /// Whether no lane waits for its turn.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether no lane that waits may be begun.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.order.keys().all(|key| self.full.contains(key))
    }

    /// The box has been listed; these lanes have something, in the order of their turns.
    pub fn listed(&mut self, views: impl Iterator<Item = View>) {
        self.clear();
        for view in views {
            match self.lanes.get_mut(&view.lane) {
                Some(LaneState::Here(news)) => *news = view.entries,
                _ => self.push(view),
            }
        }
    }

    /// Forgets everything but the empty lanes and those of our workers.
    pub fn clear(&mut self) {
        self.order.clear();
        self.full.clear();
        self.aside.clear();
        self.lanes.retain(|_, place| match place {
            LaneState::Resting(view) => view.entries.is_empty(),
            LaneState::Here(_) | LaneState::Unsure => true,
            LaneState::Queued(_) | LaneState::Elsewhere => false,
        });
    }

    /// Something may have come that nobody was told of: nothing that is known is relied on.
    pub fn missed(&mut self) {
        self.clear();
        self.lanes.retain(|_, place| matches!(place, LaneState::Here(_) | LaneState::Unsure));
        self.lanes.values_mut().for_each(|place| *place = LaneState::Unsure);
    }

    /// A file has come into `ready`. False where nothing is known of its lane.
    pub fn came(&mut self, entry: Entry) -> bool {
        let lane = entry.lane.clone();
        match self.lanes.remove(&lane) {
            Some(LaneState::Resting(mut view)) => {
                view.add(State::Ready, entry);
                self.push(view);
                return true;
            }
            Some(LaneState::Queued(mut view)) => {
                view.add(State::Ready, entry);
                self.lanes.insert(lane, LaneState::Queued(view));
            }
            Some(LaneState::Here(mut news)) => {
                news.push((State::Ready, entry));
                self.lanes.insert(lane, LaneState::Here(news));
            }
            // When that has ended, it is listed.
            Some(other) => drop(self.lanes.insert(lane, other)),
            None => return false,
        }
        true
    }

    /// A lane was let go of, by us or by somebody else. True where only a listing can tell what is in it.
    pub fn freed(&mut self, lane: &str) -> bool {
        match self.lanes.remove(lane) {
            // Its head may have been taken out of the way; the version tells.
            Some(LaneState::Resting(view)) if !view.entries.is_empty() => self.push(view),
            Some(LaneState::Elsewhere) | None => return true,
            Some(other) => drop(self.lanes.insert(lane.to_owned(), other)),
        }
        false
    }

    /// Slots have been let go of.
    pub fn has_slots(&mut self) {
        self.full.clear();
    }

    /// The next lane, which is now a worker's: the keys take turns, within a key the lanes do.
    pub fn next(&mut self) -> Option<View> {
        let keys: Vec<&String> = self.order.keys().filter(|key| !self.full.contains(*key)).collect();
        self.turn = self.turn.wrapping_add(1);
        let key = (*keys.get(self.turn.checked_rem(keys.len())?)?).clone();
        let names = self.order.get_mut(&key)?;
        let lane = names.pop_front();
        if names.is_empty() {
            self.order.remove(&key);
        }
        let lane = lane?;
        match self.lanes.insert(lane.clone(), LaneState::Here(Vec::new())) {
            Some(LaneState::Queued(view)) => Some(view),
            _ => Some(View { lane, version: None, entries: Vec::new() }),
        }
    }

    /// Somebody else holds this lane.
    pub fn is_elsewhere(&mut self, lane: String) {
        self.aside.push(lane.clone());
        self.lanes.insert(lane, LaneState::Elsewhere);
    }

    /// Lets those that somebody else held have another turn, before any lane that has had one since.
    pub fn again(&mut self) {
        for lane in std::mem::take(&mut self.aside) {
            if matches!(self.lanes.get(&lane), Some(LaneState::Elsewhere)) {
                self.push(View { lane, version: None, entries: Vec::new() });
            }
        }
    }

    /// Nothing is known of this lane any more.
    pub fn forget(&mut self, lane: &str) {
        self.lanes.remove(lane);
    }

    /// Nothing can be done in this lane now.
    pub fn rests(&mut self, view: View) {
        self.lanes.insert(view.lane.clone(), LaneState::Resting(view));
    }

    /// The slots of this lane's key are all taken: it keeps its turn.
    pub fn has_no_slot(&mut self, view: View) {
        let key = self.work.limit_key(&view.lane).to_owned();
        self.full.insert(key.clone());
        self.order.entry(key).or_default().push_front(view.lane.clone());
        self.lanes.insert(view.lane.clone(), LaneState::Queued(view));
    }

    /// A worker is through with event `id`, and its lane goes to the end of the queue. False where only
    /// a listing can tell what is left in it.
    pub fn ended(&mut self, mut view: View, id: &Id) -> bool {
        let Some(LaneState::Here(news)) = self.lanes.remove(&view.lane) else { return false };
        news.into_iter().filter(|(_, entry)| entry.id != *id).for_each(|(state, entry)| view.add(state, entry));
        if view.entries.is_empty() {
            self.rests(view);
        } else {
            self.push(view);
        }
        true
    }

    /// A worker is through with event `id`, which is tried again when it is due. What its file is called
    /// now is not known, so that the next look at this lane is a listing.
    pub fn waits(&mut self, mut view: View, id: &Id, due: Stamp) {
        let mut head = Entry::fresh(id.clone(), view.lane.clone());
        head.due = Some(due);
        if let Some(LaneState::Here(news)) = self.lanes.remove(&view.lane) {
            for (state, entry) in news {
                view.add(state, entry);
            }
        }
        view.entries.retain(|(_, entry)| entry.id != *id);
        view.entries.insert(0, (State::Wait, head));
        view.version = None;
        self.rests(view);
    }

    fn push(&mut self, view: View) {
        let key = self.work.limit_key(&view.lane).to_owned();
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
            unreachable!("a queue runs nothing")
        }
    }

    fn entry(number: i64, lane: &str) -> Entry {
        Entry::fresh(Id::new(Stamp(number), 0), lane)
    }

    fn view(lane: &str, numbers: &[i64]) -> View {
        let entries = numbers.iter().map(|n| (State::Ready, entry(*n, lane))).collect();
        View { lane: lane.to_owned(), version: Some(2), entries }
    }

    fn queue(views: Vec<View>) -> LaneQueue<'static> {
        let mut queue = LaneQueue::new(&Named);
        queue.listed(views.into_iter());
        queue
    }

    fn names(queue: &mut LaneQueue) -> Vec<String> {
        std::iter::from_fn(|| queue.next()).map(|view| view.lane).collect()
    }

    fn ids(view: &View) -> Vec<i64> {
        view.entries.iter().map(|(_, entry)| entry.id.stamp().0).collect()
    }

    #[test]
    fn keys_take_turns_and_within_a_key_the_lanes_do() {
        let mut queue = queue(vec![view("a.1", &[1]), view("a.2", &[2]), view("a.3", &[3]), view("b.1", &[4])]);
        let order = names(&mut queue);
        assert!(order[..2].contains(&"b.1".to_owned()), "{order:?}");
        let of_a: Vec<&String> = order.iter().filter(|lane| lane.starts_with('a')).collect();
        assert_eq!(of_a, ["a.1", "a.2", "a.3"]);
    }

    #[test]
    fn what_comes_into_an_idle_lane_is_known_without_a_listing() {
        let mut queue = queue(vec![view("a.1", &[1])]);
        let mut begun = queue.next().unwrap();
        begun.entries.clear();
        assert!(queue.ended(begun, &entry(1, "a.1").id));
        assert!(queue.next().is_none());
        assert!(queue.came(entry(9, "a.1")) && queue.came(entry(5, "a.1")));
        let view = queue.next().unwrap();
        assert_eq!((view.version, ids(&view)), (Some(2), vec![5, 9]));
        assert!(!queue.came(entry(7, "a.new")), "nothing is known of this lane");
    }

    #[test]
    fn what_comes_while_a_lane_is_worked_on_is_there_when_its_worker_is_through() {
        let mut queue = queue(vec![view("a.1", &[1, 3])]);
        let mut begun = queue.next().unwrap();
        begun.entries.remove(0);
        // Its own event, listed late, is not new; another one is.
        assert!(queue.came(entry(1, "a.1")) && queue.came(entry(2, "a.1")));
        assert!(queue.next().is_none(), "nobody else gets it");
        assert!(queue.ended(begun, &entry(1, "a.1").id));
        assert_eq!(ids(&queue.next().unwrap()), [2, 3]);
    }

    #[test]
    fn an_event_that_was_moved_about_makes_the_view_unsure() {
        let mut queue = queue(vec![view("a.1", &[1, 2])]);
        queue.came(entry(2, "a.1"));
        queue.came(Entry { tries: Tries { rounds: 1, ..Tries::default() }, ..entry(1, "a.1") });
        let view = queue.next().unwrap();
        assert_eq!((view.version, ids(&view)), (None, vec![1, 2]));
    }

    #[test]
    fn after_something_was_missed_only_a_listing_counts() {
        let mut queue = queue(vec![view("a.1", &[1]), view("a.2", &[2])]);
        let begun = queue.next().unwrap();
        queue.missed();
        assert!(queue.is_empty());
        assert!(!queue.came(entry(5, "a.2")), "an earlier one may be there");
        assert!(!queue.ended(begun, &entry(1, "a.1").id));
        assert!(!queue.came(entry(6, "a.1")));
    }

    #[test]
    fn an_idle_lane_is_forgotten_where_something_was_missed() {
        let mut queue = queue(vec![view("a.1", &[1])]);
        let mut begun = queue.next().unwrap();
        begun.entries.clear();
        assert!(queue.ended(begun, &entry(1, "a.1").id));
        queue.missed();
        assert!(queue.lanes.is_empty(), "of a lane that nobody works on nothing is kept");
    }

    #[test]
    fn a_release_is_news_where_a_lane_is_waited_for_or_nothing_is_known() {
        let mut queue = queue(vec![view("a.1", &[1])]);
        let mut begun = queue.next().unwrap();
        assert!(!queue.freed("a.1"), "it is our own worker's");
        begun.entries.clear();
        assert!(queue.ended(begun, &entry(1, "a.1").id));
        assert!(!queue.freed("a.1"), "it is empty, and what comes is told");
        queue.is_elsewhere("a.1".to_owned());
        assert!(queue.freed("a.1"));
        assert!(queue.freed("a.1"));
    }

    #[test]
    fn a_lane_that_somebody_else_held_is_tried_again_before_another_has_its_second_turn() {
        let mut queue = queue(vec![view("a.1", &[1]), view("a.2", &[2, 3])]);
        let held = queue.next().unwrap();
        queue.is_elsewhere(held.lane);
        let mut begun = queue.next().unwrap();
        assert!(queue.next().is_none(), "nothing is tried while nothing has changed");
        begun.entries.remove(0);
        queue.again();
        queue.ended(begun, &entry(2, "a.2").id);
        let again = queue.next().unwrap();
        assert_eq!((again.lane.as_str(), again.version), ("a.1", None), "what is in it has to be listed");
        assert_eq!(names(&mut queue), ["a.2"]);
    }

    #[test]
    fn a_lane_whose_head_waits_is_looked_at_again_when_it_was_let_go_of_or_something_came() {
        let mut queue = queue(vec![view("a.1", &[1, 2])]);
        let mut begun = queue.next().unwrap();
        begun.entries.remove(0);
        queue.came(entry(3, "a.1"));
        queue.waits(begun, &entry(1, "a.1").id, Stamp(99));
        assert!(queue.is_empty());
        assert!(!queue.freed("a.1"));
        let view = queue.next().unwrap();
        assert_eq!((view.version, ids(&view)), (None, vec![1, 2, 3]));
        queue.rests(view);
        assert!(queue.came(entry(4, "a.1")));
        assert_eq!(ids(&queue.next().unwrap()), [1, 2, 3, 4]);
    }

    #[test]
    fn a_full_key_keeps_its_turns_and_stops_no_other() {
        let mut queue = queue(vec![view("a.1", &[1]), view("a.2", &[2]), view("b.1", &[3])]);
        let first = std::iter::from_fn(|| queue.next()).find(|view| view.lane == "a.1").unwrap();
        queue.has_no_slot(first);
        assert!(!names(&mut queue).contains(&"a.1".to_owned()));
        assert!(queue.is_full() && !queue.is_empty());
        queue.has_slots();
        assert_eq!(queue.next().unwrap().lane, "a.1");
    }

    #[test]
    fn a_listing_tells_what_a_worker_will_find_behind_its_event() {
        let mut queue = queue(vec![view("a.1", &[1])]);
        let mut begun = queue.next().unwrap();
        begun.entries.clear();
        queue.listed([view("a.1", &[1, 4]), view("b.1", &[2])].into_iter());
        assert_eq!(names(&mut queue), ["b.1"]);
        assert!(queue.ended(begun, &entry(1, "a.1").id));
        assert_eq!(ids(&queue.next().unwrap()), [4]);
    }
}
