//! `claw discard ID…`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::queue::retry_discard;

/// Give an event up: it goes to done/ as it is
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What shall be given up
    #[arg(required = true, value_name = "ID|PATH|-")]
    ids: Vec<String>,
}

/// Moves events to `done/` as they are. Prints the ids.
///
/// # Errors
/// `Data` where there is nothing pending, `Later` where somebody is at it.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    out::ids(&workspace, &args.ids, |id| {
        if retry_discard::discard(&workspace, &id)? {
            out::line(id.as_str())
        } else {
            Err(Fault::new(Kind::Data, format!("{id} is not pending")).hint(format!("claw why {}", id.short())))
        }
    })
}
