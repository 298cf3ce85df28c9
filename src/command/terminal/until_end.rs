//! Follows an event of either mailbox to its end, and prints its answers for the terminal.

use crate::channel::CLI;
use crate::command::terminal::out;
use crate::core::event::Event;
use crate::core::event::id::Id;
use crate::core::fault::Result;
use crate::stage::control::Control;
use crate::stage::deliver::Deliver;
use crate::stage::outcome::{EventOutcome, take_in};
use crate::stage::remember::Remember;
use crate::stage::turn::run_agent::RunAgent;
use crate::stage::{follow, route};
use crate::store::queue::locate;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;

/// Waits until the event has ended, and handles it unless another process does. An answer for another destination than
/// the terminal is left to `deliver`. Returns the exit code.
///
/// # Errors
/// `Data` if the event does not exist, `Later` if it is not due; if an answer cannot be printed.
pub(crate) fn run(workspace: &Workspace, id: &Id) -> Result<u8> {
    let print = |event: &Event| out::line(&event.content);
    let deliver = Deliver { workspace, channel: None, print: Some(&print), outgoing: None };
    // It may be a drop, or not routed.
    route::all(workspace)?;
    take_in(workspace, Mailbox::Outbox)?;
    if locate::of(workspace, Mailbox::Inbox, id)?.is_empty() {
        let outcome = follow::run_until_done(workspace, &[&deliver], id).map_err(out::answer_stays)?;
        return reported(&outcome.state, out::report_outcome(&outcome));
    }
    let (turns, commands, notes) = (RunAgent::all(workspace), Control::all(workspace), Remember { workspace });
    let outcome = follow::run_until_done(workspace, &[&commands, &turns, &notes], id)?;
    let mut code = out::report_outcome(&outcome);
    let EventOutcome::Done(published) = &outcome.state else { return Ok(code) };
    for id in published.iter().filter_map(|id| Id::parse(id).ok()) {
        let found = locate::of(workspace, Mailbox::Outbox, &id)?;
        // A done one was fetched already.
        let lane = found.first().filter(|found| found.state.is_some()).map(|found| found.entry.lane.as_str());
        match lane.map(|lane| (lane, lane.split('-').next() == Some(CLI))) {
            Some((_, true)) => {
                let outcome = follow::run_until_done(workspace, &[&deliver], &id).map_err(out::answer_stays)?;
                code = code.max(reported(&outcome.state, out::report_outcome(&outcome))?);
            }
            Some((lane, false)) => out::message(&format!("{} is ready for {lane}: claw deliver sends it", id.short())),
            None => {}
        }
    }
    Ok(code)
}

/// The code of an outcome that was reported; the fault if an answer could not be printed.
fn reported(state: &EventOutcome, code: u8) -> Result<u8> {
    match state {
        EventOutcome::GivenBack(fault) => Err(out::answer_stays(fault.clone())),
        _ => Ok(code),
    }
}
