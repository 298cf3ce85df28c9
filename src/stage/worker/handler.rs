//! The interface between a pool and a stage: the lanes that the stage handles, their limits, and the handling itself.

use crate::core::fault::Result;
use crate::stage::outcome::Outcome;
use crate::store::lock::Lane;
use crate::store::queue::spool::Job;
use crate::store::workspace::mailbox::Mailbox;

/// Handles the events of one mailbox.
pub trait Handler: Send + Sync {
    /// The mailbox.
    fn mailbox(&self) -> Mailbox;
    /// Whether it handles events of this lane.
    fn handles(&self, lane: &str) -> bool;
    /// The key of the slots that limit this lane. Lanes with the same key share them.
    fn limit_key<'a>(&self, lane: &'a str) -> &'a str;
    /// The groups of slots of a key, with the number of slots in each. An event takes one of every group.
    ///
    /// # Errors
    /// If the settings are invalid.
    fn slots(&self, key: &str) -> Result<Vec<(String, u32)>>;
    /// Whether an event that may kill its worker is handled by `claw __attempt`, a process of its own. Not if the
    /// handler needs something of this process: its terminal, for example.
    fn may_run_apart(&self, _: &Job) -> bool {
        false
    }
    /// Handles a claimed event and ends the claim.
    fn run(&self, job: Job, lane: &Lane) -> Outcome;
}
