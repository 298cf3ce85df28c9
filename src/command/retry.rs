//! `claw retry ID…`, `claw retry --all`

use crate::command::Here;
use crate::command::terminal::{out, until_end};
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Result};
use crate::store::queue::{locate, retry_discard};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use crate::world;

/// Retry failed or waiting events now
#[derive(Debug, clap::Args)]
pub struct Args {
    /// All failed and waiting events
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Wait until they have ended, also by other processes. Prints answers for the terminal instead of ids
    #[arg(long)]
    wait: bool,
    /// The events
    #[arg(required_unless_present = "all", value_name = "ID|PATH|-")]
    ids: Vec<String>,
}

/// Gives failed events a new series of attempts, and makes waiting events due now. Prints the ids.
///
/// # Errors
/// `Data` if an event can not be retried.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let ids = if args.all { out::all_in(&workspace, &[State::Failed, State::Wait])? } else { args.ids.clone() };
    let mut retried = Vec::new();
    let code = out::each_event(&workspace, &ids, |id| {
        if !retry_discard::retry(&workspace, &id)? {
            return Err(not_retried(&workspace, &id)?);
        }
        if args.wait {
            retried.push(id.to_string());
            return Ok(());
        }
        out::line(id.as_str())
    })?;
    let mut worst = code;
    let code = out::each_event(&workspace, &retried, |id| {
        worst = worst.max(until_end::run(&workspace, &id)?);
        Ok(())
    })?;
    Ok(worst.max(code))
}

/// The fault of an event that is neither failed nor waiting, with another way out.
fn not_retried(workspace: &Workspace, id: &Id) -> Result<Fault> {
    let short = id.short();
    let mut found = locate::of(workspace, Mailbox::Inbox, id)?;
    found.extend(locate::of(workspace, Mailbox::Outbox, id)?);
    let Some(found) = found.first() else {
        return Ok(Fault::data(format!("there is no event {id}")).hint("finished events are kept for keep.done_days"));
    };
    let due = found.entry.due.filter(|due| *due > workspace.world.now());
    let (state, hint) = match (found.state, due) {
        (None, _) => ("is done".to_owned(), format!("claw why {short}")),
        (Some(State::New), Some(due)) => (
            format!("has not failed: it is not due until {}", world::local(due)),
            format!("it is processed then; to have it earlier, claw discard {short} and send it again"),
        ),
        (Some(State::Run), _) => (
            "has not failed: it is running, or its worker has ended".to_owned(),
            format!("if its worker has ended, the next claw tick continues it; claw discard {short} ends it"),
        ),
        _ => {
            ("has not failed: it is ready".to_owned(), format!("claw tick processes it; claw discard {short} ends it"))
        }
    };
    Ok(Fault::data(format!("{id} {state}")).hint(hint))
}
