//! `claw discard ID…`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::queue::retry_discard;

/// Discard pending or failed events: move them to done/ unchanged
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The events
    #[arg(required = true, value_name = "ID|PATH|-")]
    ids: Vec<String>,
}

/// Moves events to `done/` and prints their ids.
///
/// # Errors
/// `Data` if an event is not pending, `Later` if a worker has it.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    out::each_event(&workspace, &args.ids, |id| {
        if retry_discard::discard(&workspace, &id)? {
            out::line(id.as_str())
        } else {
            Err(Fault::new(Kind::Data, format!("{id} is not pending")).hint(format!("claw why {}", id.short())))
        }
    })
}
