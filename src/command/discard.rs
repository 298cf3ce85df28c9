//! `claw discard ID…`, `claw discard --failed`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::queue::retry_discard;
use crate::store::workspace::mailbox::State;

/// Discard pending or failed events: move them to done/ unchanged
#[derive(Debug, clap::Args)]
pub struct Args {
    /// All failed events
    #[arg(long, conflicts_with = "ids")]
    failed: bool,
    /// The events
    #[arg(required_unless_present = "failed", value_name = "ID|PATH|-")]
    ids: Vec<String>,
}

/// Moves events to `done/` and prints their ids.
///
/// # Errors
/// `Data` if an event is not pending, `Later` if a worker has it.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let ids = if args.failed { out::all_in(&workspace, &[State::Failed])? } else { args.ids.clone() };
    out::each_event(&workspace, &ids, |id| {
        if retry_discard::discard(&workspace, &id)? {
            out::line(id.as_str())
        } else {
            Err(Fault::new(Kind::Data, format!("{id} is not pending")).hint(format!("claw why {}", id.short())))
        }
    })
}
