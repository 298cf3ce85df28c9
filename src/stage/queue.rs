//! What a pool knows about its lanes: which wait for their turn and with what, which rest, which are
//! being worked on, here or elsewhere. It never looks at the disk: what was listed and what has come
//! since is told to it, and every view is proved by its lane's version before it is relied on.

use crate::core::entry::Entry;
use crate::core::id::Id;
use crate::stage::pool::Work;
use crate::store::boxes::State;
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
enum Place {
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
pub struct Queue<'w> {
    work: &'w dyn Work,
    lanes: HashMap<String, Place>,
    /// The lanes that wait for their turn, by the key that limits them.
    order: BTreeMap<String, VecDeque<String>>,
    /// The keys whose slots are all taken.
    full: HashSet<String>,
    turn: usize,
}

impl<'w> Queue<'w> {
    /// Nothing is known.
    #[must_use]
    pub fn new(work: &'w dyn Work) -> Self {
        Self { work, lanes: HashMap::new(), order: BTreeMap::new(), full: HashSet::new(), turn: 0 }
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
                Some(Place::Here(news)) => *news = view.entries,
                _ => self.push(view),
            }
        }
    }

    /// Forgets everything but the empty lanes and those of our workers.
    pub fn clear(&mut self) {
        self.order.clear();
        self.full.clear();
        self.lanes.retain(|_, place| match place {
            Place::Resting(view) => view.entries.is_empty(),
            Place::Here(_) | Place::Unsure => true,
            Place::Queued(_) | Place::Elsewhere => false,
        });
    }

    /// Something may have come that nobody was told of: nothing that is known is relied on.
    pub fn missed(&mut self) {
        self.clear();
        self.lanes.retain(|_, place| matches!(place, Place::Here(_) | Place::Unsure));
        self.lanes.values_mut().for_each(|place| *place = Place::Unsure);
    }

    /// A file has come into `ready`. False where nothing is known of its lane.
    pub fn came(&mut self, entry: Entry) -> bool {
        let lane = entry.lane.clone();
        match self.lanes.remove(&lane) {
            Some(Place::Resting(mut view)) => {
                view.add(State::Ready, entry);
                self.push(view);
                return true;
            }
            Some(Place::Queued(mut view)) => {
                view.add(State::Ready, entry);
                self.lanes.insert(lane, Place::Queued(view));
            }
            Some(Place::Here(mut news)) => {
                news.push((State::Ready, entry));
                self.lanes.insert(lane, Place::Here(news));
            }
            // When that has ended, it is listed.
            Some(other) => drop(self.lanes.insert(lane, other)),
            None => return false,
        }
        true
    }

    /// A lane was let go of. True where we have waited for it.
    pub fn freed(&mut self, lane: &str) -> bool {
        let is_awaited = matches!(self.lanes.get(lane), Some(Place::Elsewhere));
        if is_awaited {
            self.lanes.remove(lane);
        }
        is_awaited
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
        match self.lanes.insert(lane.clone(), Place::Here(Vec::new())) {
            Some(Place::Queued(view)) => Some(view),
            _ => Some(View { lane, version: None, entries: Vec::new() }),
        }
    }

    /// Somebody else holds this lane.
    pub fn is_elsewhere(&mut self, lane: String) {
        self.lanes.insert(lane, Place::Elsewhere);
    }

    /// Nothing is known of this lane any more.
    pub fn forget(&mut self, lane: &str) {
        self.lanes.remove(lane);
    }

    /// Nothing can be done in this lane now.
    pub fn rests(&mut self, view: View) {
        self.lanes.insert(view.lane.clone(), Place::Resting(view));
    }

    /// The slots of this lane's key are all taken: it keeps its turn.
    pub fn has_no_slot(&mut self, view: View) {
        let key = self.work.key(&view.lane).to_owned();
        self.full.insert(key.clone());
        self.order.entry(key).or_default().push_front(view.lane.clone());
        self.lanes.insert(view.lane.clone(), Place::Queued(view));
    }

    /// A worker is through with event `id`, and its lane goes to the end of the queue. False where only
    /// a listing can tell what is left in it.
    pub fn ended(&mut self, mut view: View, id: &Id) -> bool {
        let Some(Place::Here(news)) = self.lanes.remove(&view.lane) else { return false };
        news.into_iter().filter(|(_, entry)| entry.id != *id).for_each(|(state, entry)| view.add(state, entry));
        if view.entries.is_empty() {
            self.rests(view);
        } else {
            self.push(view);
        }
        true
    }

    fn push(&mut self, view: View) {
        let key = self.work.key(&view.lane).to_owned();
        self.order.entry(key).or_default().push_back(view.lane.clone());
        self.lanes.insert(view.lane.clone(), Place::Queued(view));
    }
}
