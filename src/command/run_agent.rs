//! `claw run-agent [ID|PATH|-]…`

use crate::command::Here;
use crate::command::terminal::out;
use crate::command::terminal::record::Recording;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use crate::stage::control::{self, Control};
use crate::stage::follow;
use crate::stage::outcome::{EventOutcome, Outcome};
use crate::stage::task;
use crate::stage::turn::run_agent::RunAgent;
use crate::stage::worker::pool;
use crate::store::agent::definitions;
use crate::store::queue::listing;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;

/// Answer routed events
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only sessions of this agent
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Only this session
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    #[command(flatten)]
    record: Recording,
    /// Wait until these events are answered, also by other processes. `-` reads ids from stdin
    #[arg(value_name = "ID|PATH|-")]
    ids: Vec<String>,
}

/// Answers events, and prints the id of each outgoing event.
///
/// # Errors
/// `Data` for an unknown agent or event; `Machine` if the machine fails.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let mut workspace = here.open()?;
    args.record.begin(&mut workspace)?;
    let default = workspace.config()?.default_agent.clone();
    if let Some(agent) = args.agent.as_deref().filter(|agent| !definitions::has_agent(&workspace, agent)) {
        return Err(definitions::unknown(&workspace, agent));
    }
    let session =
        args.session.as_deref().map(|name| session_name::qualify(name, args.agent.as_deref(), &default)).transpose()?;
    if let Some(session) = &session {
        check_session(&workspace, session)?;
    }
    let work = RunAgent { agent: args.agent.as_deref(), session: session.as_deref(), ..RunAgent::all(&workspace) };
    let control = Control { workspace: &workspace, agent: args.agent.as_deref(), session: session.as_deref() };
    let mut code = 0;
    let mut closed = Ok(());
    let mut report = |outcome: Outcome| {
        code = code.max(out::report_outcome(&outcome));
        if let EventOutcome::Done(ids) = &outcome.state {
            for id in ids {
                closed = closed.clone().and_then(|()| out::line(id));
            }
        }
    };
    if args.ids.is_empty() {
        pool::drain(&workspace, &control, control::WIDTH, &mut report)?;
        pool::drain(&workspace, &work, task::turn_width(&workspace)?, &mut report)?;
    } else {
        let ids_code = out::each_event(&workspace, &args.ids, |id| {
            follow::run_until_done(&workspace, &[&control, &work], &id).map(&mut report)
        })?;
        code = code.max(ids_code);
    }
    closed.map(|()| code)
}

/// Refuses a session that does not exist and has no pending event: its name is probably mistyped.
fn check_session(workspace: &Workspace, name: &str) -> Result<()> {
    let agent = session_name::agent(name);
    if !definitions::has_agent(workspace, agent) {
        return Err(definitions::unknown(workspace, agent));
    }
    let is_there = || workspace.path("sessions").join(name).exists();
    let is_its = |lane: &str| lane == name || lane == session_name::control(name);
    // Another process may create it between the two checks.
    if is_there() || !listing::lanes(workspace, Mailbox::Inbox, &is_its)?.is_empty() || is_there() {
        return Ok(());
    }
    Err(Fault::data(format!("there is no session {name}, and nothing is routed to it"))
        .hint("`claw sessions` lists them"))
}
