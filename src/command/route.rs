//! `claw route [ID|PATH|-]…`

use crate::command::{Here, out};
use crate::core::fault::{Fault, Kind, Result};
use crate::stage::route;
use crate::store::boxes::{Side, State};
use crate::store::locate;

/// Move what is new to the sessions that will answer it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print only these; everything is routed all the same. - reads ids from stdin
    #[arg(value_name = "ID|PATH|-")]
    ids: Vec<String>,
}

/// Routes everything, and prints one id per event that moved on.
///
/// # Errors
/// Where routing itself is impossible.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let mut code = 0;
    let mut pass = |is_silent: bool| -> Result<()> {
        let routed = route::all(&workspace)?;
        for (id, fault) in &routed.failed {
            out::tell(&format!("{} failed: {fault}", id.short()));
            code = 1;
        }
        if !is_silent {
            routed.moved.iter().try_for_each(|id| out::line(id.as_str()))?;
        }
        Ok(())
    };
    if args.ids.is_empty() {
        pass(false)?;
        return Ok(code);
    }
    // Everything is routed, whatever the ids turn out to be.
    pass(true)?;
    out::ids(&workspace, &args.ids, |id| {
        pass(true)?;
        match locate::of(&workspace, Side::Inbox, &id).first() {
            Some(found) if found.state == Some(State::New) => {
                let due = found.entry.due.map(out::clock).unwrap_or_default();
                Err(Fault::new(Kind::Later, format!("{id} is not due until {due}")))
            }
            Some(found) if found.state == Some(State::Failed) => Ok(()),
            Some(_) => out::line(id.as_str()),
            None => Err(Fault::data(format!("there is no event {id} in inbox"))),
        }
    })?;
    Ok(code)
}
