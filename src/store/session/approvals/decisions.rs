//! Decisions of the owner: each becomes an event, and an approved call is read back from the session's log.

use super::{FOLDER, TAKEN, Verdict, current_files, decided, names, path, read, record};
use crate::core::event::Event;
use crate::core::event::dispatch;
use crate::core::event::id::{Derived, Id};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::Call;
use crate::core::session::record::Record;
use crate::core::tool::approval::{self, Approval};
use crate::core::turn;
use crate::store::fs::durable;
use crate::store::queue::publish;
use crate::store::session::log;
use crate::store::workspace::Workspace;

/// Publishes an event for every new decision. Returns the faults of the others, which stay in place.
///
/// # Errors
/// `Machine` on a disk error.
pub fn publish_decisions(workspace: &Workspace) -> Result<Vec<(Id, Fault)>> {
    let mut refused = Vec::new();
    for verdict in Verdict::BOTH {
        for id in names(workspace, verdict.folder(), "md")? {
            match decision_event(workspace, &id, verdict) {
                Ok(event) => {
                    publish::inbox(workspace, &event)?;
                    let taken = path(workspace, verdict.folder(), &id, TAKEN);
                    durable::move_or_remove(&path(workspace, verdict.folder(), &id, "md"), &taken)?;
                    record(workspace, verdict.folder(), &id, &format!("answered at {}", event.reply_to));
                }
                Err(fault) if fault.kind == Kind::Machine => return Err(fault),
                Err(fault) => refused.push((id, fault)),
            }
        }
    }
    Ok(refused)
}

/// The event of a decision.
fn decision_event(workspace: &Workspace, id: &Id, verdict: Verdict) -> Result<Event> {
    let approval = read(workspace, verdict.folder(), id, "md")?;
    let (asked, _) = logged(workspace, &approval)?;
    let from = workspace.local_user()?;
    let text = match verdict {
        Verdict::Approved => format!("I approve this call, and it is run now: {}", approval.summary()),
        Verdict::Denied => format!("I do not allow this call, so it is not run: {}", approval.summary()),
    };
    let mut event = asked.child(Derived::Approval, approval.number, &from, text, workspace.world.now());
    // The reply goes to a person: another agent or a schedule has no use for it.
    event.reply_to = workspace.person(&asked)?;
    event.origin.class = Some(workspace.class(&asked)?);
    event.origin.requesters = dispatch::requesters(&asked);
    event.session = Some(approval.session);
    event.expires_at = (verdict == Verdict::Approved).then_some(approval.expires_at);
    Ok(event)
}

/// The call that the owner has approved: the one in the session's log, if the file describes exactly that call.
/// `None` if the owner has denied it.
///
/// # Errors
/// `Data` if there is no such decision.
pub fn decided_call(workspace: &Workspace, id: &Id) -> Result<Option<Call>> {
    for verdict in Verdict::BOTH {
        for suffix in [TAKEN, "md"] {
            if path(workspace, verdict.folder(), id, suffix).exists() {
                let approval = read(workspace, verdict.folder(), id, suffix)?;
                let (_, call) = logged(workspace, &approval)?;
                return Ok((verdict == Verdict::Approved).then_some(call));
            }
        }
    }
    Err(Fault::data(format!("there is no decision {id} in {FOLDER}")))
}

/// Why the approval `id` is void: a file that its call names has changed since the request. `None` if it is valid.
///
/// # Errors
/// `Data` if there is no such approval; `Machine`.
pub fn difference(workspace: &Workspace, id: &Id) -> Result<Option<String>> {
    let approval = decided(workspace, id, Verdict::Approved)
        .ok_or_else(|| Fault::data(format!("there is no decision {id} in {FOLDER}")))?;
    match current_files(workspace, &approval) {
        Err(fault) if fault.kind == Kind::Data => Ok(Some(fault.message)),
        files => Ok(approval::difference(&approval.files, &files?)),
    }
}

/// The event and the call of an approval, from the session's log.
fn logged(workspace: &Workspace, approval: &Approval) -> Result<(Event, Call)> {
    let unknown = || Fault::data(format!("{}: the session's log has no such call", approval.id));
    let (parent, number) = (&approval.event, approval.number);
    let records = log::read(workspace, &approval.session, parent)?;
    let asked = records.iter().find_map(|record| match record {
        Record::In { event, .. } if event.id == *parent => Some((**event).clone()),
        _ => None,
    });
    let state = turn::replay(records, parent);
    let mut calls = state.steps.into_iter().flat_map(|step| step.reply.calls.into_iter().zip(step.calls));
    let nth = usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
    let (written, progress) = calls.nth(nth).ok_or_else(unknown)?;
    // The arguments that the model wrote may have been corrected before the owner was asked; the log has the hash of the
    // call that the owner was asked about. A killed turn has not logged it yet.
    let logged = progress.result.and_then(|result| result.approval);
    let hash = logged.unwrap_or_else(|| approval::hash(&approval.id, &written, &approval.files));
    let call = Call { id: written.id, name: approval.tool.clone(), arguments: approval.arguments.clone() };
    if parent.derive(Derived::Approval, number) != approval.id
        || hash != approval.hash
        || approval::hash(&approval.id, &call, &approval.files) != approval.hash
    {
        let why = format!("{}: the call in the file is not the one in the session's log", approval.id);
        return Err(Fault::data(why).hint(format!(
            "it is not run; `rm {FOLDER}/*/{}.md` removes the decision, and the agent may ask again",
            approval.id
        )));
    }
    Ok((asked.ok_or_else(unknown)?, call))
}
