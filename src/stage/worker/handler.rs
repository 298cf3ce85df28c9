//! What a pool asks of those who work: which lanes are theirs, what limits them, and how an event is
//! worked on.

use crate::core::fault::Result;
use crate::stage::outcome::Outcome;
use crate::store::lock::Lane;
use crate::store::queue::spool::Job;
use crate::store::workspace::mailbox::Mailbox;

/// What is done with the events of one box.
pub trait Handler: Send + Sync {
    /// Which box.
    fn mailbox(&self) -> Mailbox;
    /// Whether this work is for that lane.
    fn handles(&self, lane: &str) -> bool;
    /// What limits this lane: slots are taken under this name. Lanes of one name share them.
    fn limit_key<'a>(&self, lane: &'a str) -> &'a str;
    /// The groups of slots behind a key, with how many there are of each.
    ///
    /// # Errors
    /// Where the settings are bad.
    fn slots(&self, key: &str) -> Result<Vec<(String, u32)>>;
    /// Works on a claimed event, to its end.
    fn run(&self, job: Job, lane: &Lane) -> Outcome;
}
