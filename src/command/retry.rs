//! `claw retry ID…`

use crate::command::{Here, out};
use crate::core::fault::{Fault, Kind, Result};
use crate::store::hand;
use std::collections::HashSet;

/// Try an event again that has failed or waits
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What shall be tried again
    #[arg(required = true, value_name = "ID|PATH|-")]
    ids: Vec<String>,
}

/// Starts a new round for what has failed, and ends the wait of what waits. Prints the ids.
///
/// # Errors
/// `Data` where there is nothing to be tried again, `Later` where somebody is at it.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let mut done = HashSet::new();
    out::ids(&workspace, &args.ids, |id| {
        // A file and its reason, say: one event.
        if done.contains(&id) {
            return Ok(());
        }
        if hand::retry(&workspace, &id)? {
            out::line(id.as_str())?;
            done.insert(id);
            Ok(())
        } else {
            Err(Fault::new(Kind::Data, format!("{id} has neither failed nor does it wait"))
                .hint(format!("claw why {}", id.short())))
        }
    })
}
