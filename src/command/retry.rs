//! `claw retry ID…`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Result};
use crate::store::queue::{locate, retry_discard};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use crate::world;

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
    out::ids(&workspace, &args.ids, |id| {
        if retry_discard::retry(&workspace, &id)? { out::line(id.as_str()) } else { Err(as_it_is(&workspace, &id)?) }
    })
}

/// Why there is nothing to be tried again, and what can be done instead.
fn as_it_is(workspace: &Workspace, id: &Id) -> Result<Fault> {
    let short = id.short();
    let mut found = locate::of(workspace, Mailbox::Inbox, id)?;
    found.extend(locate::of(workspace, Mailbox::Outbox, id)?);
    let Some(found) = found.first() else {
        return Ok(Fault::data(format!("there is no event {id}")).hint("what is done is kept for keep.done_days"));
    };
    let due = found.entry.due.filter(|due| *due > workspace.world.now());
    let (stands, hint) = match (found.state, due) {
        (None, _) => ("is done".to_owned(), format!("claw why {short}")),
        (Some(State::New), Some(due)) => (
            format!("has not failed: it is not due until {}", world::local(due)),
            format!("it is taken up then; to have it earlier, claw discard {short} and send it anew"),
        ),
        (Some(State::Run), _) => (
            "has not failed: it is being worked on, or its worker is gone".to_owned(),
            format!("where it is gone, the next claw tick takes it up; claw discard {short} ends it"),
        ),
        _ => (
            "has not failed: its turn has not come".to_owned(),
            format!("claw tick takes it up; claw discard {short} ends it"),
        ),
    };
    Ok(Fault::data(format!("{id} {stands}")).hint(hint))
}
