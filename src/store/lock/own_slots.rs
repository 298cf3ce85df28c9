//! Slots that this process holds. Its workers do not try to lock those.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Numbers of held slots, by group.
#[derive(Debug, Default)]
pub(super) struct OwnSlots(Mutex<HashMap<String, BTreeSet<u32>>>);

impl OwnSlots {
    pub(super) fn add(&self, group: &str, number: u32) {
        self.lock().entry(group.to_owned()).or_default().insert(number);
    }

    pub(super) fn remove(&self, group: &str, number: u32) {
        self.lock().get_mut(group).map(|ours| ours.remove(&number));
    }

    pub(super) fn has(&self, group: &str, number: u32) -> bool {
        self.lock().get(group).is_some_and(|ours| ours.contains(&number))
    }

    /// Whether this process holds every slot of a group.
    pub(super) fn has_all(&self, group: &str, limit: u32) -> bool {
        self.lock().get(group).is_some_and(|ours| (0..limit).all(|number| ours.contains(&number)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<u32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_is_used_up_when_every_number_below_its_limit_is_held() {
        let ours = OwnSlots::default();
        assert!(!ours.has_all("all", 2));
        ours.add("all", 1);
        assert!(ours.has("all", 1) && !ours.has("all", 0) && !ours.has("agent-a", 1));
        assert!(!ours.has_all("all", 2));
        ours.add("all", 0);
        assert!(ours.has_all("all", 2) && !ours.has_all("all", 3), "the limit may have changed since");
        ours.remove("all", 1);
        assert!(!ours.has_all("all", 2) && ours.has_all("all", 1));
    }
}
