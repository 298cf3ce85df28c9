//! `claw __attempt`: handles one claimed event that may kill its worker, in a process of its own. Workers start it; it
//! is hidden from users.

use crate::command::terminal::out;
use crate::core::event::entry::Entry;
use crate::core::fault::{Fault, Kind, Result};
use crate::process::own;
use crate::stage::control::Control;
use crate::stage::deliver::Deliver;
use crate::stage::follow::{self, Deadline};
use crate::stage::remember::Remember;
use crate::stage::turn::run_agent::RunAgent;
use crate::stage::worker::attempt;
use crate::stage::worker::handler::Handler;
use crate::store::lock::Lane;
use crate::store::queue::spool::Job;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use crate::world::World;
use std::ffi::OsString;
use std::path::PathBuf;

/// Handles the event that `arguments` name: the parent process, the workspace, whether it is trusted, the cassette to
/// record on, the mailbox, and the event's name in `run/`. Stdin is the lock of the event's lane. Prints a line before
/// the event is handled, and its outcome.
///
/// # Errors
/// If the event cannot be handled at all: then it has not begun.
pub fn run(arguments: impl Iterator<Item = OsString>) -> Result<u8> {
    let arguments: Vec<OsString> = arguments.collect();
    let [parent, root, is_trusted, record, mailbox, name] = &arguments[..] else { return Err(invalid()) };
    own::die_with_parent(&parent.to_string_lossy())?;
    let mut workspace = Workspace::open(World::real()?, root.into(), is_trusted == "1")?;
    workspace.record = Some(PathBuf::from(record)).filter(|path| !path.as_os_str().is_empty());
    let mailbox = [Mailbox::Inbox, Mailbox::Outbox].into_iter().find(|known| mailbox == known.name());
    let mailbox = mailbox.ok_or_else(invalid)?;
    let entry = name.to_str().and_then(Entry::parse).filter(|entry| !entry.lane.is_empty()).ok_or_else(invalid)?;
    let lane = Lane::inherited(&workspace, mailbox, &entry.lane, out::stdin_file()?)?;
    let workspace = &workspace;
    let handlers: [&dyn Handler; 4] = [
        &Deliver { workspace, channel: None, print: None, outgoing: None },
        &Remember { workspace },
        &Control::all(workspace),
        &RunAgent::all(workspace),
    ];
    let handler = handlers.into_iter().find(|handler| handler.mailbox() == mailbox && handler.handles(&entry.lane));
    let handler = handler.ok_or_else(invalid)?;
    follow::take_slots(workspace, handler, &lane, Deadline::default())?;
    out::line(attempt::BEGUN)?;
    let outcome = handler.run(Job::inherited(workspace, mailbox, entry), &lane);
    out::line(&attempt::report_line(&outcome)?)?;
    Ok(0)
}

fn invalid() -> Fault {
    Fault::new(Kind::Usage, "only workers of claw start this command")
}
